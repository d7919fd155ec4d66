"""What the archives of all kinds have in common: how they are gone through, and what is refused."""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, final

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, Peeked, peek
from nearfar.data.layout import is_hidden, is_litter, printable
from nearfar.data.listing import Broken
from nearfar.data.recognition import HEAD, IMAGE_SUFFIXES, is_picture

# no photograph is packed to a hundredth: more than this, and so small, is made to fill a memory
_LARGEST, _SMALLEST_SHARE = 100_000_000, 0.01


@dataclass(frozen=True)
class Member:
    """One file of an archive: in a tar where its bytes stand in the uncompressed stream, in a zip
    where its own header does.
    """

    path: str
    offset: int
    size: int


class Entry(NamedTuple):
    """A file as it is met, its path as the archive writes it, and what reads its first bytes, or
    with -1 all.
    """

    member: Member
    content: Callable[[int], bytes | Broken]


class Found(NamedTuple):
    """The pictures, the paths of the other files, what at most 64 pictures, spread over them, are,
    and folders with pictures that are not looked at, for their names.
    """

    pictures: list[Member]
    notes: list[str]
    peeked: list[Peeked]
    hidden: list[str]


def gone_through(entries: Iterable[Entry]) -> Found:
    """The files of an archive, without litter; a backslash separates folders. A later file of the
    same name replaces the earlier one, as in tar.
    """
    pictures: dict[str, Member] = {}
    notes: set[str] = set()
    hidden: dict[str, None] = {}
    peeks = Peeks()
    for member, content in entries:
        name = posixpath.normpath(member.path.replace("\\", "/"))
        *folders, file = name.split("/")
        if is_litter(file) or any(map(is_litter, folders)):
            if (folder := _hidden_with_picture(folders, file)) is not None:
                hidden[folder] = None
            continue
        if not is_picture(name, partial(_head, content)):
            notes.add(name)
            continue
        pictures[name] = Member(name, member.offset, member.size)
        if peeks.wanted():
            peeks.take(peek(content(-1)))
    left = sorted(notes - pictures.keys())
    return Found(list(pictures.values()), left, peeks.images(), list(hidden))


def _hidden_with_picture(folders: list[str], file: str) -> str | None:
    """The first hidden folder on the way to a picture; None: there is none, or another system's
    litter is on the way.
    """
    litter = [place for place, name in enumerate(folders) if is_litter(name)]
    is_one = not is_litter(file) and PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES
    if not litter or not is_one or not is_hidden(folders[litter[0]]):
        return None
    return "/".join(folders[: litter[0] + 1])


def _head(content: Callable[[int], bytes | Broken]) -> bytes:
    head = content(HEAD)
    return b"" if isinstance(head, Broken) else head


@contextmanager
def wanted_whole(path: Path, kind: str, damage: tuple[type[Exception], ...]) -> Iterator[None]:
    """DataError in place of what a cut or damaged archive raises, and a file that cannot be
    read.
    """
    try:
        yield
    except damage as error:
        raise DataError(
            f"{path}: want a whole {kind} archive, got one that is cut short or damaged ({error});"
            " fetch or pack it again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def refuse_name(name: str, path: Path) -> None:
    """DataError for a member that would leave the folder that an archive is unpacked into. nearfar
    unpacks nothing, but whoever made such an archive did not mean to hand over pictures.
    """
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        refuse(name, "an absolute path", path)
    if ".." in re.split(r"[\\/]", name):
        refuse(name, "a path with ..", path)


def refuse_bomb(name: str, size: int, packed: int, path: Path) -> None:
    """DataError for a member of so many bytes that is packed into next to nothing."""
    if size > _LARGEST and packed < _SMALLEST_SHARE * size:
        refuse(name, f"{size / 1e9:.1f} GB packed into next to nothing", path)


def refuse(name: str, what: str, path: Path) -> None:
    raise DataError(
        f'{path}: want plain files, got the member "{printable(name)}", {what}; pack the images'
        " again without it"
    )


@final
class Peeks:
    """Every k-th file of a stream of unknown length; k doubles whenever there are more than 64."""

    def __init__(self) -> None:
        self._seen = -1
        self._stride = 1
        self._taken: list[Peeked | None] = []

    def wanted(self) -> bool:
        self._seen += 1
        return self._seen % self._stride == 0

    def take(self, found: Peeked | None) -> None:
        self._taken.append(found)
        if len(self._taken) > PEEKS:
            self._taken = self._taken[::2]
            self._stride *= 2

    def images(self) -> list[Peeked]:
        return [one for one in self._taken if one is not None]
