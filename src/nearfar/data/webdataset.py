"""Tar shards in WebDataset's layout: the files of a sample stand together and share their name up
to the first dot, `0001.jpg` and `0001.cls`.

The label is the text of `.cls` (a number or a name), or `label`, `class` or `cls` in `.json`; a
sample without one has no label. An index of each shard is made once and kept, so rows have numbers,
and any row can be read where it stands.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Int64

from nearfar.core.progress import Progress
from nearfar.data import tars
from nearfar.data.decoding import Peeked, peek
from nearfar.data.index import Form, peeked_form, read_peeked, remembered
from nearfar.data.labeled import refuse_missing_classes
from nearfar.data.layout import Layout, Place, is_litter
from nearfar.data.listing import SPLITS, Broken, Raw
from nearfar.data.members import Entry, Member, Peeks
from nearfar.data.recognition import IMAGE_SUFFIXES
from nearfar.data.sharded import UNLABELED, Files, called, split_of

_LABEL_ENDINGS = (".cls", ".json")
_LABEL_KEYS = ("label", "class", "cls")


class Sample(NamedTuple):
    """An image of a shard: where its bytes stand, and its label as text, "" for none."""

    path: str
    offset: int
    size: int
    label: str


class Shard(NamedTuple):
    samples: list[Sample]
    peeked: list[Peeked]  # what some of the images are


class WebDataset(NamedTuple):
    files: Files
    shards: list[Shard]


def begins(tar_files: Sequence[Path]) -> bool:
    """Whether the first of them begins with a sample: an image, and a label of the same name."""
    if not tar_files:
        return False
    names: list[str] = []
    with suppress(tarfile.TarError, OSError), tarfile.open(tar_files[0], "r:") as archive:
        names = [info.name for info, _ in zip(archive, range(8), strict=False) if info.isfile()]
    keys = {name.partition(".")[0] for name in names}
    return len(keys) < len(names) and any(name.endswith(_LABEL_ENDINGS) for name in names)


def read_webdataset(files: Files, progress: Progress) -> WebDataset:
    """By the indexes that are kept, else the shards are gone through (fetched, if they are far
    away). DataError names one that is damaged.
    """
    shards = []
    with progress.bar(len(files), "shards") as bar:
        for number in range(len(files)):
            shards.append(
                remembered(
                    partial(_known_by, files, number),
                    partial(_looked_through, files, number),
                    _SHARD,
                    is_settled=True,
                )
            )
            bar.advance()
    return WebDataset(files, shards)


def _known_by(files: Files, number: int) -> str:
    return f"webdataset {files.shown(number)}\n{files.stamp(number)}"


def _looked_through(files: Files, number: int) -> Shard:
    for later in range(number, min(number + 3, len(files))):
        files.expect(later)
    path = files.path(number)
    tars.refuse_packed(path)
    return tars.whole(path, Path(files.shown(number)), _samples)


def _samples(entries: Iterator[Entry]) -> Shard:
    images: dict[str, Member] = {}
    labels: dict[str, str] = {}
    peeks = Peeks()
    for member, content in entries:
        folder, _, name = member.path.rpartition("/")
        stem, _, ending = name.partition(".")
        key = f"{folder}/{stem}"
        if any(map(is_litter, member.path.split("/"))):
            continue
        if (last := f".{ending.lower()}") in _LABEL_ENDINGS:
            labels.setdefault(key, _label(last, content(-1)))
        elif f".{ending.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES and key not in images:
            images[key] = member
            if peeks.wanted():
                peeks.take(peek(content(-1)))
    samples = [Sample(m.path, m.offset, m.size, labels.get(key, "")) for key, m in images.items()]
    return Shard(samples, peeks.images())


def _label(ending: str, content: bytes | Broken) -> str:
    """Empty where there is none."""
    if isinstance(content, Broken):
        return ""
    text = content.decode("utf-8", "replace").strip()
    if ending == ".cls":
        return text
    try:
        told = json.loads(text)
    except ValueError:
        return ""
    known = told if isinstance(told, dict) else {}
    found = next((known[key] for key in _LABEL_KEYS if known.get(key) is not None), "")
    return str(found)


def arrange_webdataset(data: WebDataset) -> Layout:
    """A place for each sample. Its split is what the shard or its folder is called; train, if
    neither says. DataError: a class that train does not have.
    """
    places: list[Place] = []
    given = False
    for number, (shard, of_shard) in enumerate(zip(data.shards, called(data.files), strict=True)):
        named = split_of(data.files.shown(number))
        given |= named is not None
        split = named or "train"
        for sample in shard.samples:
            title = sample.label or None
            settled = split if title is not None else UNLABELED[split]
            path = f"{of_shard}/{sample.path}"
            places.append(Place(path, (of_shard, sample.path), settled, title))
    refuse_missing_classes(places, Path(data.files.shown(0)))
    used = {place.split for place in places}
    names = {place.class_name for place in places if place.class_name is not None}
    numbers = all(name.isdecimal() for name in names)
    return Layout(
        places=tuple(places),
        class_names=tuple(sorted(names, key=int if numbers else str)),
        given_splits=tuple(name for name in SPLITS if given and name in used),
        strays=(),
    )


@final
class WebDatasetReader:
    """The samples of all shards, one shard after the other."""

    def __init__(self, data: WebDataset) -> None:
        self._files = data.files
        counts = [len(shard.samples) for shard in data.shards]
        self._file = np.repeat(np.arange(len(counts)), counts)
        where = [(s.offset, s.size) for shard in data.shards for s in shard.samples]
        self._where = np.array(where, dtype=np.int64).reshape(-1, 2)

    def key(self) -> str:
        """Hash of what each shard is known by: they are not read for it."""
        digest = hashlib.sha256()
        for number in range(len(self._files)):
            digest.update(f"{self._files.stamp(number)}\n".encode())
        return digest.hexdigest()

    def read(self) -> Iterator[tuple[int, Raw]]:
        for row in range(len(self._file)):
            if row == 0 or self._file[row] != self._file[row - 1]:
                self.expect(min(int(self._file[row]) + 1, len(self._files) - 1))
            yield row, self.at(row)

    def at(self, row: int) -> Raw:
        offset, size = self._where[row].tolist()
        number = int(self._file[row])
        for _ in range(2):  # a copy may have to make room between being named and being opened
            with suppress(FileNotFoundError), self._files.path(number).open("rb") as file:
                file.seek(offset)
                return file.read(size)
        return Broken("its shard vanished")

    def shards(self) -> Int64[np.ndarray, " n"]:
        return self._file

    def expect(self, shard: int) -> None:
        self._files.expect(shard)


def _written(shard: Shard) -> dict[str, Any]:
    return {"samples": shard.samples, "peeked": [peeked_form(one) for one in shard.peeked]}


def _read(kept: dict[str, Any]) -> Shard:
    samples = [Sample(*sample) for sample in kept["samples"]]
    return Shard(samples, [read_peeked(one) for one in kept["peeked"]])


_SHARD = Form(_written, _read)
