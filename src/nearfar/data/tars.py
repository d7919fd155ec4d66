"""Tar archives as sources, packed by gzip or xz or not."""

import gzip
import hashlib
import io
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast, final

from nearfar.core.errors import DataError
from nearfar.data.decoding import Peeked, peek
from nearfar.data.layout import is_litter, printable
from nearfar.data.listing import Raw
from nearfar.data.members import Member, Peeks, refuse, refuse_name
from nearfar.data.recognition import HEAD, head_of, is_picture

_OPENERS: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"\xfd7zXZ\0", lzma.open),
)
_MAGIC = slice(257, 262)  # where a tar says that it is one, unless it is older than 1988
HEAD_BYTES = _MAGIC.stop
_CUT = (tarfile.TarError, EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error)


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


def begins(head: bytes) -> bool:
    """Whether a file with these first HEAD_BYTES is a tar, packed or not."""
    return head[_MAGIC] == b"ustar" or any(head.startswith(first) for first, _ in _OPENERS)


def archive_members(path: Path) -> tuple[list[Member], list[str], list[Peeked]]:
    """The pictures, the paths of the other files, and what at most 64 pictures, spread over them,
    are.

    Raises DataError for members that could write outside a folder, and for an archive that is cut
    short.
    """
    # a later member of the same name replaces the earlier one, as in tar
    members: dict[str, Member] = {}
    notes: set[str] = set()
    peeks = Peeks()
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
                        peeks.take(peek(_content(archive, info)))
            if tail.last != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("its end mark is missing")
    except _CUT as error:
        raise DataError(
            f"{path}: want a whole tar archive, got one that is cut short or damaged ({error}); "
            "fetch or pack it again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return list(members.values()), sorted(notes - members.keys()), peeks.images()


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo, size: int = -1) -> bytes:
    source = archive.extractfile(info)
    return b"" if source is None else source.read(size)


def _opened(path: Path) -> io.BufferedIOBase:
    head = head_of(path)
    opener = next((opener for first, opener in _OPENERS if head.startswith(first)), None)
    return cast(io.BufferedIOBase, path.open("rb") if opener is None else opener(path))


def _refuse_unsafe(info: tarfile.TarInfo, path: Path) -> None:
    refuse_name(info.name, path)
    if info.issym() or info.islnk():
        refuse(info.name, f"a link to {printable(info.linkname)}", path)
    if not (info.isfile() or info.isdir()) or info.issparse():
        refuse(info.name, "neither file nor folder", path)


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
