"""Tar archives as sources: read where they lie; nothing is ever unpacked to disk."""

import gzip
import hashlib
import io
import lzma
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast, final

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, peek_size
from nearfar.data.layout import is_litter, printable
from nearfar.data.listing import Raw
from nearfar.data.recognition import HEAD, head_of, is_picture

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz")
_OPENERS: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"\xfd7zXZ\0", lzma.open),
)
_NOT_READ = (  # first bytes of other archives, and what they are
    (b"PK\3\4", "a zip archive"),
    (b"PK\5\6", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
)
_MAGIC = slice(257, 262)  # where a tar says that it is one, unless it is older than 1988
_CUT = (tarfile.TarError, EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True)
class Member:
    """One file of an archive: where its bytes stand in the uncompressed stream."""

    path: str
    offset: int
    size: int


@final
class ArchiveReader:
    """The members (one a row) of the archive at `path`."""

    def __init__(self, path: Path, members: tuple[Member, ...]) -> None:
        self._path = path
        self._members = members

    def key(self) -> str:
        """sha256 of the archive's bytes."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def read(self) -> Iterator[tuple[int, Raw]]:
        """In the order of the archive: one pass forward."""
        order = sorted(range(len(self._members)), key=lambda row: self._members[row].offset)
        with _opened(self._path) as stream:
            for row in order:
                member = self._members[row]
                stream.seek(member.offset)
                yield row, stream.read(member.size)


def archive_stem(path: Path) -> str | None:
    """The name without its suffix, or None where this is no archive. Its first bytes say what it
    is; what has none of a known kind is taken at its name.

    Raises DataError for archives that nearfar does not read.
    """
    head = head_of(path, _MAGIC.stop)
    for first, what in _NOT_READ:
        if head.startswith(first):
            raise DataError(
                f"{path}: {what}, which nearfar does not read yet; unpack it and give the folder"
            )
    by_length = sorted(_SUFFIXES, key=len, reverse=True)
    suffix = next((end for end in by_length if path.name.lower().endswith(end)), None)
    if suffix is not None:
        return path.name[: -len(suffix)]
    packed = any(head.startswith(first) for first, _ in _OPENERS)
    return path.stem if packed or head[_MAGIC] == b"ustar" else None


def archive_members(path: Path) -> tuple[list[Member], list[str], list[tuple[int, int]]]:
    """The pictures, the paths of the other files, and the sizes of at most 64 pictures spread over
    them.

    Raises DataError for members that could write outside a folder, and for an archive that is cut
    short.
    """
    # a later member of the same name replaces the earlier one, as in tar
    members: dict[str, Member] = {}
    notes: set[str] = set()
    peeks = _Peeks()
    try:
        with _opened(path) as stream:
            tail = _Tail(stream)
            with tarfile.open(fileobj=tail, mode="r:") as archive:  # type: ignore[call-overload]
                for info in archive:
                    _refuse_unsafe(info, path)
                    name = posixpath.normpath(info.name.replace("\\", "/"))
                    if not info.isreg() or any(map(is_litter, name.split("/"))):
                        continue
                    if not is_picture(name, partial(_content, archive, info, HEAD)):
                        notes.add(name)
                        continue
                    members[name] = Member(name, info.offset_data, info.size)
                    if peeks.wanted():
                        peeks.take(peek_size(_content(archive, info)))
            if tail.last != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("its end mark is missing")
    except _CUT as error:
        raise DataError(
            f"{path}: want a whole tar archive, got one that is cut short or damaged ({error}); "
            "fetch or pack it again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return list(members.values()), sorted(notes - members.keys()), peeks.sizes()


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo, size: int = -1) -> bytes:
    source = archive.extractfile(info)
    return b"" if source is None else source.read(size)


def _opened(path: Path) -> io.BufferedIOBase:
    head = head_of(path)
    opener = next((opener for first, opener in _OPENERS if head.startswith(first)), None)
    return cast(io.BufferedIOBase, path.open("rb") if opener is None else opener(path))


def _refuse_unsafe(info: tarfile.TarInfo, path: Path) -> None:
    """nearfar unpacks nothing, but whoever made such an archive did not mean to hand over
    pictures.
    """
    name = printable(info.name)
    if info.name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", info.name):
        what = "an absolute path"
    elif ".." in re.split(r"[\\/]", info.name):
        what = "a path with .."
    elif info.issym() or info.islnk():
        what = f"a link to {printable(info.linkname)}"
    elif not (info.isfile() or info.isdir()) or info.issparse():
        what = "neither file nor folder"
    else:
        return
    raise DataError(
        f'{path}: want plain files, got the member "{name}", {what}; pack the images again'
        " without it"
    )


@final
class _Tail:
    """A stream that remembers what was read last: tarfile takes damage for the end, the end mark
    tells.
    """

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        self.last = self._stream.read(size)
        return self.last

    def seek(self, position: int, whence: int = 0) -> int:
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()


@final
class _Peeks:
    """Every k-th file of a stream of unknown length; k doubles whenever there are more than 64."""

    def __init__(self) -> None:
        self._seen = -1
        self._stride = 1
        self._taken: list[tuple[int, int] | None] = []

    def wanted(self) -> bool:
        self._seen += 1
        return self._seen % self._stride == 0

    def take(self, size: tuple[int, int] | None) -> None:
        self._taken.append(size)
        if len(self._taken) > PEEKS:
            self._taken = self._taken[::2]
            self._stride *= 2

    def sizes(self) -> list[tuple[int, int]]:
        return [size for size in self._taken if size is not None]
