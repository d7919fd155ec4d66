"""A walk through a folder with the links in it: every folder is read once, where it really lies."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nearfar.core.errors import DataError
from nearfar.data.layout import printable


@dataclass(frozen=True)
class Linked:
    """A link that is not followed, since its folder is read elsewhere."""

    path: str  # relative, with /
    target: str  # where the same folder is read; "" for the whole source

    def in_words(self) -> str:
        target = printable(self.target) + "/" if self.target else "the whole folder"
        return f"{printable(self.path)} is a link to {target}"


class Walked(NamedTuple):
    """Relative paths with /."""

    files: list[str]  # sorted
    linked: list[Linked]  # links to folders that are read elsewhere
    skipped: list[str]  # folders


def walk(root: Path, skip: Callable[[str], bool]) -> Walked:
    """All files below `root`; names that `skip` knows are left out.

    Real folders come first, so that a link never takes the place of its folder; links then in the
    order of their paths.
    """
    files: list[str] = []
    linked: list[Linked] = []
    skipped: list[str] = []
    seen: dict[tuple[int, int], str] = {}
    waiting = [""]

    def real(path: str) -> Iterator[str]:
        """Files below one folder; links to folders wait."""
        status = (root / path).stat()
        where = seen.setdefault((status.st_dev, status.st_ino), path)
        if where != path:
            linked.append(Linked(path, where))
            return
        with os.scandir(root / path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                inner = f"{path}/{entry.name}" if path else entry.name
                if skip(entry.name):
                    if _is_folder(entry):
                        skipped.append(inner)
                    continue
                if _is_folder(entry):
                    if entry.is_symlink():
                        waiting.append(inner)
                    else:
                        yield from real(inner)
                # a link that leads nowhere, or to itself, is reported when it is read
                elif entry.is_symlink() or entry.is_file():
                    yield inner

    try:
        while waiting:
            files += real(waiting.pop(waiting.index(min(waiting))))
    except OSError as error:
        raise DataError(f"cannot list {error.filename}: {error.strerror}") from error
    return Walked(sorted(files), linked, skipped)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
