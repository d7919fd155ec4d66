"""Folders as sources."""

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import final

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, peek_size
from nearfar.data.layout import is_litter, printable
from nearfar.data.listing import Raw
from nearfar.data.recognition import head_of, is_picture


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


def folder_files(root: Path) -> tuple[list[str], list[str]]:
    """Relative paths with / of the pictures below `root`, and of the other files. Links are
    followed once, litter is left out.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()

    def walk(folder: Path, prefix: str) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if is_litter(entry.name):
                    continue
                if entry.is_dir():
                    walk(folder / entry.name, f"{prefix}{entry.name}/")
                # a dangling link is reported when it is read
                elif entry.is_file() or entry.is_symlink():
                    found.append(prefix + entry.name)

    try:
        walk(root, "")
    except OSError as error:
        raise DataError(f"cannot list {error.filename}: {error.strerror}") from error
    pictures = [path for path in found if is_picture(path, partial(head_of, root / path))]
    return sorted(pictures), sorted(set(found) - set(pictures))


def peek_folder(root: Path, paths: tuple[str, ...]) -> list[tuple[int, int]]:
    """Sizes of at most 64 images spread over the files."""
    count = min(PEEKS, len(paths))
    chosen = (paths[i * len(paths) // count] for i in range(count))
    return [size for path in chosen if (size := peek_size(root / path)) is not None]
