"""What the archives of all kinds have in common: their members, and which of them are refused."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import final

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, Peeked
from nearfar.data.layout import printable


@dataclass(frozen=True)
class Member:
    """One file of an archive: in a tar where its bytes stand in the uncompressed stream, in a zip
    where its own header does.
    """

    path: str
    offset: int
    size: int


def refuse_name(name: str, path: Path) -> None:
    """DataError for a member that would leave the folder that an archive is unpacked into. nearfar
    unpacks nothing, but whoever made such an archive did not mean to hand over pictures.
    """
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        refuse(name, "an absolute path", path)
    if ".." in re.split(r"[\\/]", name):
        refuse(name, "a path with ..", path)


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
