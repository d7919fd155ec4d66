"""Folders as sources."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, final

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, Peeked, peek
from nearfar.data.layout import is_hidden, is_litter, printable, split_in
from nearfar.data.links import Linked, walk
from nearfar.data.listing import Raw
from nearfar.data.recognition import IMAGE_SUFFIXES, head_of, is_picture


@final
class FolderReader:
    """The files `paths` (one a row) under `root`."""

    def __init__(self, root: Path, paths: tuple[str, ...]) -> None:
        self._root = root
        self._paths = paths

    def key(self) -> str:
        """Hash of relative paths, sizes and times of change: files are not read for it."""
        digest = hashlib.sha256()
        for path in self._paths:
            try:
                status = (self._root / path).stat()
                facts = (status.st_size, status.st_mtime_ns)
            except OSError:
                facts = (-1, -1)
            digest.update(f"{printable(path)}\0{facts[0]}\0{facts[1]}\n".encode())
        return digest.hexdigest()

    def read(self) -> Iterator[tuple[int, Raw]]:
        yield from enumerate(self._root / path for path in self._paths)

    def at(self, row: int) -> Raw:
        return self._root / self._paths[row]

    def shards(self) -> None:
        return None

    def expect(self, shard: int) -> None:
        """Nothing has to be fetched."""


class FolderFiles(NamedTuple):
    """Relative paths with /."""

    pictures: list[str]
    notes: list[str]  # the other files
    linked: list[Linked]  # links to folders that are read elsewhere
    hidden: list[str]  # folders with pictures that are not looked at, for their names


def folder_files(root: Path) -> FolderFiles:
    """What lies below `root`. Litter is left out.

    Raises DataError where two splits are one folder.
    """
    found, linked, skipped = walk(root, is_litter)
    for link in linked:
        link_split, target_split = split_in(link.path), split_in(link.target)
        if link_split and target_split and link_split != target_split:
            raise DataError(
                f"{root}: want {link_split} and {target_split} to be folders of their own, got"
                f" {printable(link.path)}, a link to {printable(link.target)}; take the link away"
                " or give it other images (where no val or test is given, nearfar cuts one)"
            )
    pictures = [path for path in found if is_picture(path, partial(head_of, root / path))]
    notes = sorted(set(found) - set(pictures))
    hidden = [path for path in skipped if is_hidden(path) and _has_pictures(root / path)]
    return FolderFiles(pictures, notes, linked, hidden)


def _has_pictures(folder: Path) -> bool:
    """By the names of the files in it and in its folders."""
    try:
        inside = [*folder.glob("*"), *folder.glob("*/*")]
    except OSError:
        return False
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside if not is_litter(path.name))


def peek_folder(root: Path, paths: tuple[str, ...]) -> list[Peeked]:
    """What at most 64 images spread over the files are."""
    count = min(PEEKS, len(paths))
    chosen = (paths[i * len(paths) // count] for i in range(count))
    return [found for path in chosen if (found := peek(root / path)) is not None]
