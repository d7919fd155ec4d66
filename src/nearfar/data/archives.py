"""Archives as sources: read where they lie; nothing is ever unpacked to disk. Their first bytes say
what they are.
"""

from pathlib import Path
from types import ModuleType

from nearfar.core.errors import DataError
from nearfar.data import tars, zips
from nearfar.data.recognition import head_of

READS = ".zip, .tar, .tar.gz or .tar.xz"
_SUFFIXES = (".tar.gz", ".tar.xz", ".tar", ".tgz", ".txz", ".zip")  # the longer of two first
_NOT_READ = (  # first bytes of other archives, and what they are
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
)


def archive_stem(path: Path) -> str | None:
    """The name without its suffix, or None where this is no archive. What has the first bytes of no
    known kind is taken at its name.

    Raises DataError for archives that nearfar does not read.
    """
    head = head_of(path, tars.HEAD_BYTES)
    for first, what in _NOT_READ:
        if head.startswith(first):
            raise DataError(
                f"{path}: {what}, which nearfar does not read; unpack it and give the folder, or"
                f" pack it as {READS}"
            )
    suffix = next((end for end in _SUFFIXES if path.name.lower().endswith(end)), None)
    if suffix is not None:
        return path.name[: -len(suffix)]
    return path.stem if tars.begins(head) or zips.begins(head) else None


def kind_of(path: Path) -> ModuleType:
    """What reads an archive: `zips` or `tars`, which have the same two names, `archive_members` and
    `ArchiveReader`.
    """
    head = head_of(path, tars.HEAD_BYTES)
    by_name = path.name.lower().endswith(".zip") and not tars.begins(head)
    return zips if zips.begins(head) or by_name else tars
