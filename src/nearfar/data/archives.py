"""Archives as sources: read where they lie; nothing is ever unpacked to disk. Their first bytes say
what they are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from nearfar.core.errors import DataError
from nearfar.data import tars, zips
from nearfar.data.listing import Raw
from nearfar.data.members import Found, Member
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


@dataclass(frozen=True)
class Kind:
    """How archives of a kind are gone through, how members are read in their order there, and how
    one is.
    """

    look_through: Callable[[Path], Found]
    contents: Callable[[Path, Sequence[Member]], Iterator[Raw]]
    content_at: Callable[[Path, Member], Raw]


_TAR = Kind(tars.look_through, tars.contents, tars.content_at)
_ZIP = Kind(zips.look_through, zips.contents, zips.content_at)


def kind_of(path: Path) -> Kind:
    """By its first bytes; what has those of no known kind goes by its name."""
    head = head_of(path, tars.HEAD_BYTES)
    by_name = path.name.lower().endswith(".zip") and not tars.begins(head)
    return _ZIP if zips.begins(head) or by_name else _TAR


@final
class ArchiveReader:
    """The members (one a row) of the archive at `path`, whose bytes have the sha256 `digest`."""

    def __init__(self, path: Path, kind: Kind, members: tuple[Member, ...], digest: str) -> None:
        self._path = path
        self._kind = kind
        self._members = members
        self._digest = digest

    def key(self) -> str:
        return self._digest

    def read(self) -> Iterator[tuple[int, Raw]]:
        """In the order of the archive."""
        order = sorted(range(len(self._members)), key=lambda row: self._members[row].offset)
        in_order = [self._members[row] for row in order]
        yield from zip(order, self._kind.contents(self._path, in_order), strict=True)

    def at(self, row: int) -> Raw:
        """DataError: the archive is packed as a whole."""
        if self._kind is _TAR:
            tars.refuse_packed(self._path)
        return self._kind.content_at(self._path, self._members[row])

    def shards(self) -> None:
        return None

    def expect(self, shard: int) -> None:
        """Nothing has to be fetched."""
