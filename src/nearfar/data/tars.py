"""Tar archives, packed by gzip or xz or not."""

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast, final

from nearfar.core.errors import DataError
from nearfar.data.layout import printable
from nearfar.data.listing import Raw
from nearfar.data.members import (
    Entry,
    Found,
    Member,
    gone_through,
    refuse,
    refuse_bomb,
    refuse_name,
    wanted_whole,
)
from nearfar.data.recognition import head_of

_OPENERS: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"\xfd7zXZ\0", lzma.open),
)
T = TypeVar("T")
_MAGIC = slice(257, 262)  # where a tar says that it is one, unless it is older than 1988
HEAD_BYTES = _MAGIC.stop
_CUT = (tarfile.TarError, EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error)


def begins(head: bytes) -> bool:
    """Whether a file with these first HEAD_BYTES is a tar, packed or not."""
    return head[_MAGIC] == b"ustar" or any(head.startswith(first) for first, _ in _OPENERS)


def look_through(path: Path) -> Found:
    """DataError: as `whole`."""
    return whole(path, path, gone_through)


def whole(path: Path, shown: Path, use: Callable[[Iterator[Entry]], T]) -> T:
    """What `use` makes of all files of the archive at `path`, which people know as `shown`.

    DataError: members that could write outside a folder or would fill the memory, and an archive
    that is cut short.
    """
    with wanted_whole(shown, "tar", _CUT), _opened(path) as stream:
        tail = _Tail(stream)
        with tarfile.open(fileobj=cast(IO[bytes], tail), mode="r:") as archive:
            found = use(_entries(archive, shown, path.stat().st_size))
        if tail.last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end mark is missing")
    return found


def contents(path: Path, members: Sequence[Member]) -> Iterator[Raw]:
    """Of members in their order in the archive: one pass forward."""
    with _opened(path) as stream:
        for member in members:
            stream.seek(member.offset)
            yield stream.read(member.size)


def refuse_packed(path: Path) -> None:
    """DataError for an archive that can be read from its beginning alone."""
    if any(head_of(path).startswith(first) for first, _ in _OPENERS):
        raise DataError(
            f"{path}: want a .tar as it is, or a .zip, where images are read in any order"
            " (data.stream); unpack it, or pack its files so"
        )


def content_at(path: Path, member: Member) -> Raw:
    """Of one member, wherever it stands, in an archive that is not packed."""
    with path.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def _entries(archive: tarfile.TarFile, path: Path, packed: int) -> Iterator[Entry]:
    for info in archive:
        refuse_name(info.name, path)
        if info.issym() or info.islnk():
            refuse(info.name, f"a link to {printable(info.linkname)}", path)
        if not (info.isfile() or info.isdir()) or info.issparse():
            refuse(info.name, "neither file nor folder", path)
        refuse_bomb(info.name, info.size, packed, path)
        if info.isreg():
            member = Member(info.name, info.offset_data, info.size)
            yield Entry(member, partial(_content, archive, info))


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo, size: int) -> bytes:
    source = archive.extractfile(info)
    return b"" if source is None else source.read(size)


def _opened(path: Path) -> io.BufferedIOBase:
    head = head_of(path)
    opener = next((opener for first, opener in _OPENERS if head.startswith(first)), None)
    return cast(io.BufferedIOBase, path.open("rb") if opener is None else opener(path))


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
