"""Parquet files with images inside as sources, as Hugging Face's data sets are published.

The files of a folder are read as one set; each one's name begins with its split
(`train-00000-of-00002.parquet`), or it lies in a folder called so.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, final

import numpy as np
from jaxtyping import Int64

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, Peeked, peek
from nearfar.data.labeled import refuse_missing_classes
from nearfar.data.layout import Layout, Place, printable
from nearfar.data.listing import SPLITS, Broken, Raw
from nearfar.data.parquet import holds_files, opened
from nearfar.data.sharded import UNLABELED, Files, LocalFiles, split_of
from nearfar.data.tables import Columns, class_named, split_named, usual_label, usual_split

_ROWS_A_READ = 256
_GROUPS_HELD = 32  # twice as many as an epoch goes through at a time


@dataclass(frozen=True)
class Shards:
    """Files of one set, what rows of each are called by, and which of their columns hold image,
    label and split.
    """

    files: Files
    names: tuple[str, ...]
    columns: Columns


def shards_in(root: Path, files: Sequence[str], asked: Columns | None) -> Shards | None:
    """Of files below `root`; None as `shards_with_images` has it."""
    names = sorted(files)
    return shards_with_images(LocalFiles([root / name for name in names]), names, asked)


def shards_with_images(files: Files, names: Sequence[str], asked: Columns | None) -> Shards | None:
    """None where the image column of the first file holds no images (but paths, perhaps).

    DataError: a damaged file, or no such column of labels or splits.
    """
    schema = opened(files.path(0)).schema_arrow
    inside = [field.name for field in schema if holds_files(field.type)]
    columns = asked
    if columns is None and inside:
        others = [name for name in schema.names if name not in inside]
        columns = Columns(inside[0], usual_label(others), usual_split(others))
    if columns is None or columns.image not in inside:
        return None
    for name in columns.named():
        if name not in schema.names:
            got = ", ".join(schema.names)
            raise DataError(f"{files.shown(0)}: want a column {name}, got {got}")
    return Shards(files, tuple(names), columns)


def arrange_shards(shards: Shards) -> Layout:
    """A place for each row, FILE/NUMBER. DataError: a class that train does not have."""
    names = _class_names(shards)
    places: list[Place] = []
    for file, called in enumerate(shards.names):
        of_file = split_of(called)
        shown = shards.files.shown(file)
        for number, (label, split, group) in enumerate(_said(shards, file)):
            path = f"{called}/{number:07d}"
            title = _title(label, names, shown)
            cell = "" if split is None else str(split)
            named = split_named(cell, Path(shown)) or of_file or "train"
            settled = named if title is not None else UNLABELED[named]
            together = None if group is None else str(group)
            places.append(Place(path, PurePosixPath(path).parts, settled, title, group=together))
    refuse_missing_classes(places, Path(shards.files.shown(0)))
    used = {place.split for place in places}
    given = shards.columns.split is not None or any(map(split_of, shards.names))
    present = {place.class_name for place in places if place.class_name is not None}
    return Layout(
        places=tuple(places),
        class_names=names or tuple(sorted(present)),
        given_splits=tuple(split for split in SPLITS if given and split in used),
        strays=(),
    )


def peek_shards(shards: Shards) -> list[Peeked]:
    """What the first images are, at most 64."""
    every = []
    for (_, raw), _ in zip(ShardReader(shards).read(), range(PEEKS), strict=False):
        if (found := peek(raw)) is not None:
            every.append(found)
    return every


@final
class ShardReader:
    """The rows of the files, one after another. Read in any order, a row brings its row group, of
    which the last 32 are held.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._groups = _RowGroups(shards)

    def key(self) -> str:
        """Hash of what each file is known by: they are not read for it."""
        digest = hashlib.sha256(repr(self._shards.columns).encode())
        for number, called in enumerate(self._shards.names):
            stamp = self._shards.files.stamp(number)
            digest.update(f"{printable(called)}\0{stamp}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def read(self) -> Iterator[tuple[int, Raw]]:
        row = 0
        column = self._shards.columns.image
        for file in range(len(self._shards.files)):
            self._shards.files.expect(min(file + 1, len(self._shards.files) - 1))
            source = opened(self._shards.files.path(file))
            for batch in source.iter_batches(batch_size=_ROWS_A_READ, columns=[column]):
                for cell in batch.column(0).to_pylist():
                    yield row, _raw(cell, self._shards.files.path(file))
                    row += 1

    def at(self, row: int) -> Raw:
        return self._groups.cell(row)

    def shards(self) -> Int64[np.ndarray, " n"]:
        """The row group of each."""
        return self._groups.of_row

    def expect(self, shard: int) -> None:
        self._shards.files.expect(self._groups.file_of(shard))


@final
class _RowGroups:
    """The row groups of all files, by number; the last ones that were read are held."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._held: OrderedDict[int, list[Raw]] = OrderedDict()
        self._guard = Lock()

    @cached_property
    def _rows(self) -> list[tuple[int, int, int]]:
        """File, number in it and count of rows of each group."""
        files = self._shards.files
        found = []
        for file in range(len(files)):
            about = opened(files.path(file)).metadata
            each = range(about.num_row_groups)
            found += [(file, group, about.row_group(group).num_rows) for group in each]
        return found

    @cached_property
    def of_row(self) -> Int64[np.ndarray, " n"]:
        return np.repeat(np.arange(len(self._rows)), [count for _, _, count in self._rows])

    @cached_property
    def _first(self) -> Int64[np.ndarray, " group"]:
        return np.cumsum([0, *(count for _, _, count in self._rows)])

    def file_of(self, group: int) -> int:
        return self._rows[group][0]

    def cell(self, row: int) -> Raw:
        group = int(self.of_row[row])
        with self._guard:
            held = self._held.pop(group, None)
            if held is None:
                held = self._cells(group)
            self._held[group] = held
            while len(self._held) > _GROUPS_HELD:
                self._held.popitem(last=False)
        return held[row - int(self._first[group])]

    def _cells(self, group: int) -> list[Raw]:
        file, number, _ = self._rows[group]
        path = self._shards.files.path(file)
        column = opened(path).read_row_group(number, columns=[self._shards.columns.image])
        return [_raw(cell, path) for cell in column.column(0).to_pylist()]


def _raw(cell: Any, file: Path) -> Raw:
    if isinstance(cell, dict):
        if cell.get("bytes") is None and cell.get("path"):
            return file.parent / str(cell["path"])
        cell = cell.get("bytes")
    return cell if isinstance(cell, bytes) else Broken("no image in this row")


def _said(shards: Shards, file: int) -> Iterator[tuple[Any, Any, Any]]:
    """Label, split and group of each row; None: it has none."""
    wanted = (shards.columns.label, shards.columns.split, shards.columns.group)
    source = opened(shards.files.path(file))
    table = source.read(columns=[name for name in wanted if name is not None]).to_pydict()
    nothing = [None] * source.metadata.num_rows
    yield from zip(*(table.get(name, nothing) for name in wanted), strict=True)


def _class_names(shards: Shards) -> tuple[str, ...]:
    """As Hugging Face writes them beside the columns; empty where it did not."""
    metadata = opened(shards.files.path(0)).schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(features[shards.columns.label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _title(label: Any, names: Sequence[str], file: str) -> str | None:
    if isinstance(label, float):
        label = class_named(repr(label), Path(file))
        label = None if label is None else int(label)
    if label is None or label == "" or (isinstance(label, int) and label < 0):
        return None
    if isinstance(label, list | dict):
        raise DataError(f"{file}: want one class of each image, got {label} as one")
    if isinstance(label, int) and names:
        if label >= len(names):
            raise DataError(f"{file}: want a label of the {len(names)} classes, got {label}")
        return names[label]
    return str(label)
