"""Zip archives as sources."""

import hashlib
import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import final

from nearfar.core.errors import DataError
from nearfar.data.decoding import Peeked, peek
from nearfar.data.layout import is_litter
from nearfar.data.listing import Broken, Raw
from nearfar.data.members import Member, Peeks, refuse, refuse_name
from nearfar.data.recognition import HEAD, is_picture

_FIRST_BYTES = (b"PK\3\4", b"PK\5\6")  # the second of an empty one
_ENCRYPTED = 1  # bit of a member's flags
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# no photograph is packed to a hundredth: more than this, and so small, is made to fill a memory
_LARGEST, _SMALLEST_SHARE = 100_000_000, 0.01
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)


def begins(head: bytes) -> bool:
    return head.startswith(_FIRST_BYTES)


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
        """In the order of the archive: one pass forward. A damaged member is Broken."""
        order = sorted(range(len(self._members)), key=lambda row: self._members[row].offset)
        with zipfile.ZipFile(self._path) as archive:
            by_offset = {info.header_offset: info for info in archive.infolist()}
            for row in order:
                yield row, _content(archive, by_offset[self._members[row].offset])


def archive_members(path: Path) -> tuple[list[Member], list[str], list[Peeked]]:
    """The pictures, the paths of the other files, and what at most 64 pictures, spread over them,
    are.

    Raises DataError for members that could write outside a folder, that are encrypted, packed in a
    way that Python does not read or would fill the memory, and for an archive that is cut short.
    """
    # a later member of the same name replaces the earlier one, as in tar
    members: dict[str, Member] = {}
    notes: set[str] = set()
    peeks = Peeks()
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                refuse_name(info.orig_filename, path)
                name = posixpath.normpath(info.filename.replace("\\", "/"))
                if info.is_dir() or any(map(is_litter, name.split("/"))):
                    continue
                _refuse_unreadable(info, path)
                if not is_picture(name, partial(_head, archive, info)):
                    notes.add(name)
                    continue
                members[name] = Member(name, info.header_offset, info.file_size)
                if peeks.wanted():
                    content = _content(archive, info)
                    peeks.take(None if isinstance(content, Broken) else peek(content))
    except _DAMAGED as error:
        raise DataError(
            f"{path}: want a whole zip archive, got one that is cut short or damaged ({error}); "
            "fetch or pack it again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return list(members.values()), sorted(notes - members.keys()), peeks.images()


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | Broken:
    try:
        return archive.read(info)
    except _DAMAGED as error:
        return Broken(f"damaged in its archive ({error})")


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        return file.read(HEAD)


def _refuse_unreadable(info: zipfile.ZipInfo, path: Path) -> None:
    if stat.S_ISLNK(info.external_attr >> 16):  # of archives made on Unix
        refuse(info.filename, "a link", path)
    if info.flag_bits & _ENCRYPTED:
        refuse(info.filename, "which is encrypted", path)
    if info.compress_type not in _METHODS:
        refuse(info.filename, f"packed by method {info.compress_type}, which is not read", path)
    if info.file_size > _LARGEST and info.compress_size < _SMALLEST_SHARE * info.file_size:
        refuse(info.filename, f"{info.file_size / 1e9:.1f} GB packed into next to nothing", path)
