"""Parquet files with images inside as sources, as Hugging Face's data sets are published.

The files of a folder are read as one set; each one's name begins with its split
(`train-00000-of-00002.parquet`), or it lies in a folder called so.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, final

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, Peeked, peek
from nearfar.data.labeled import refuse_missing_classes
from nearfar.data.layout import SPLIT_NAMES, Layout, Place, printable
from nearfar.data.listing import SPLITS, Broken, Raw
from nearfar.data.parquet import holds_files, opened
from nearfar.data.sharded import UNLABELED, split_of
from nearfar.data.tables import Columns, usual_label, usual_split

_ROWS_A_READ = 256


@dataclass(frozen=True)
class Shards:
    """Files of one set, and which of their columns hold image, label and split."""

    root: Path
    files: tuple[str, ...]  # relative to root, sorted
    columns: Columns


def shards_with_images(root: Path, files: Sequence[str], asked: Columns | None) -> Shards | None:
    """None where the image column of the first file holds no images (but paths, perhaps).

    DataError: a damaged file, or no such column of labels or splits.
    """
    first = sorted(files)[0]
    schema = opened(root / first).schema_arrow
    inside = [field.name for field in schema if holds_files(field.type)]
    columns = asked
    if columns is None and inside:
        others = [name for name in schema.names if name not in inside]
        columns = Columns(inside[0], usual_label(others), usual_split(others))
    if columns is None or columns.image not in inside:
        return None
    for name in (columns.label, columns.split):
        if name is not None and name not in schema.names:
            raise DataError(f"{root / first}: want a column {name}, got {', '.join(schema.names)}")
    return Shards(root, tuple(sorted(files)), columns)


def arrange_shards(shards: Shards) -> Layout:
    """A place for each row, FILE/NUMBER. DataError: a class that train does not have."""
    names = _class_names(shards)
    places: list[Place] = []
    for file in shards.files:
        of_file = split_of(file)
        for number, (label, split) in enumerate(_labels(shards, file)):
            path = f"{file}/{number:07d}"
            title = _title(label, names, shards.root / file)
            named = SPLIT_NAMES.get((split or "").lower(), of_file) or "train"
            settled = named if title is not None else UNLABELED[named]
            places.append(Place(path, PurePosixPath(path).parts, settled, title))
    refuse_missing_classes(places, shards.root / shards.files[0])
    used = {place.split for place in places}
    given = shards.columns.split is not None or any(map(split_of, shards.files))
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
    """The rows of the files, one after another."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def key(self) -> str:
        """Hash of names, sizes and times of change: files are not read for it."""
        digest = hashlib.sha256(repr(self._shards.columns).encode())
        for file in self._shards.files:
            status = (self._shards.root / file).stat()
            digest.update(f"{printable(file)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def read(self) -> Iterator[tuple[int, Raw]]:
        row = 0
        column = self._shards.columns.image
        for file in self._shards.files:
            source = opened(self._shards.root / file)
            for batch in source.iter_batches(batch_size=_ROWS_A_READ, columns=[column]):
                for cell in batch.column(0).to_pylist():
                    yield row, self._raw(cell, file)
                    row += 1

    def _raw(self, cell: Any, file: str) -> Raw:
        if isinstance(cell, dict):
            if cell.get("bytes") is None and cell.get("path"):
                return (self._shards.root / file).parent / str(cell["path"])
            cell = cell.get("bytes")
        return cell if isinstance(cell, bytes) else Broken("no image in this row")


def _labels(shards: Shards, file: str) -> Iterator[tuple[Any, str | None]]:
    """Label and split of each row; None: it has none."""
    columns = shards.columns
    wanted = [name for name in (columns.label, columns.split) if name is not None]
    source = opened(shards.root / file)
    if not wanted:
        yield from [(None, None)] * source.metadata.num_rows
        return
    table = source.read(columns=wanted).to_pydict()
    nothing = [None] * source.metadata.num_rows
    of_label = table.get(columns.label, nothing)
    yield from zip(of_label, table.get(columns.split, nothing), strict=True)


def _class_names(shards: Shards) -> tuple[str, ...]:
    """As Hugging Face writes them beside the columns; empty where it did not."""
    metadata = opened(shards.root / shards.files[0]).schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(features[shards.columns.label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _title(label: Any, names: Sequence[str], file: Path) -> str | None:
    if label is None or label == "" or (isinstance(label, int) and label < 0):
        return None
    if isinstance(label, float):
        raise DataError(f"{file}: want classes, got the number {label:g} as one")
    if isinstance(label, int) and names:
        if label >= len(names):
            raise DataError(f"{file}: want a label of the {len(names)} classes, got {label}")
        return names[label]
    return str(label)
