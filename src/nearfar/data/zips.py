"""Zip archives."""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

from nearfar.data.listing import Broken, Raw
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

_FIRST_BYTES = (b"PK\3\4", b"PK\5\6")  # the second of an empty one
_ENCRYPTED = 1  # bit of a member's flags
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)


def begins(head: bytes) -> bool:
    """Whether a file with these first bytes is a zip."""
    return head.startswith(_FIRST_BYTES)


def look_through(path: Path) -> Found:
    """DataError: members that could write outside a folder, that are encrypted, packed in a way
    that Python does not read or would fill the memory, and an archive that is cut short.
    """
    with wanted_whole(path, "zip", _DAMAGED), zipfile.ZipFile(path) as archive:
        return gone_through(_entries(archive, path))


def contents(path: Path, members: Sequence[Member]) -> Iterator[Raw]:
    """Of members in their order in the archive: one pass forward. A damaged one is Broken."""
    with zipfile.ZipFile(path) as archive:
        by_offset = {info.header_offset: info for info in archive.infolist()}
        for member in members:
            yield _content(archive, by_offset[member.offset], -1)


def content_at(path: Path, member: Member) -> Raw:
    """Of one member, wherever it stands."""
    archive, by_offset = _directory(path, path.stat().st_mtime_ns)
    return _content(archive, by_offset[member.offset], -1)


@lru_cache(maxsize=4)
def _directory(path: Path, changed_ns: int) -> tuple[zipfile.ZipFile, dict[int, zipfile.ZipInfo]]:
    """An archive that stays open, so that its directory is read once."""
    del changed_ns
    archive = zipfile.ZipFile(path)
    return archive, {info.header_offset: info for info in archive.infolist()}


def _entries(archive: zipfile.ZipFile, path: Path) -> Iterator[Entry]:
    for info in archive.infolist():
        refuse_name(info.orig_filename, path)
        if not info.is_dir():
            _refuse_unreadable(info, path)
            member = Member(info.filename, info.header_offset, info.file_size)
            yield Entry(member, partial(_content, archive, info))


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> bytes | Broken:
    try:
        with archive.open(info) as file:
            return file.read(size)
    except _DAMAGED as error:
        return Broken(f"damaged in its archive ({error})")


def _refuse_unreadable(info: zipfile.ZipInfo, path: Path) -> None:
    if stat.S_ISLNK(info.external_attr >> 16):  # of archives made on Unix
        refuse(info.filename, "a link", path)
    if info.flag_bits & _ENCRYPTED:
        refuse(info.filename, "which is encrypted", path)
    if info.compress_type not in _METHODS:
        refuse(info.filename, f"packed by method {info.compress_type}, which is not read", path)
    refuse_bomb(info.filename, info.file_size, info.compress_size, path)
