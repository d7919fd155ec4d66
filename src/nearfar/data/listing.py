"""What a source holds, before anything is decoded, and how its bytes are reached.

n: files of the source that count as images until one of them turns out not to be one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, Shaped, UInt8
from torch import Tensor

from nearfar.core.types import DataFacts
from nearfar.data.rgb import OWN_WHITE, White
from nearfar.data.splits import Uncut

SPLITS = ("train", "val", "test", "unlabeled", "predict")
"""`predict`: no labels, and neither trained nor measured on."""


@dataclass(frozen=True)
class Broken:
    """Why an image could not be read or decoded."""

    reason: str


Raw = bytes | Path | UInt8[np.ndarray, "_ _ 3"] | Broken
"""One image as its source hands it over: file content, a file to read, pixels, or what stood in the
way.
"""


@runtime_checkable
class Reader(Protocol):
    """Access to the images of a listing."""

    def key(self) -> str | None:
        """A name of the content, for the cache of decoded sets; None: the images are in memory
        already.
        """

    def read(self) -> Iterator[tuple[int, Raw]]:
        """Every row once, in whatever order is fastest."""


@runtime_checkable
class RandomReader(Reader, Protocol):
    """One whose images can be read in any order, by several threads."""

    def at(self, row: int) -> Raw: ...

    def shards(self) -> Int64[np.ndarray, " n"] | None:
        """Number of the file that each row is fetched or unpacked with; None: each is as near as
        any other.
        """

    def expect(self, shard: int) -> None:
        """Rows of that file will be read soon."""


@dataclass(frozen=True)
class Unreadable:
    """A file that is left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Listing:
    """The files of a source with their labels and splits. Rows are sorted by path."""

    name: str  # safe as part of a folder name
    source: str  # as the user gave it, or "<Dataset>"
    paths: tuple[str, ...]  # relative to the source, printable
    labels: Int64[np.ndarray, " n"]  # -1: none
    splits: Shaped[np.ndarray, " n"]  # (n,), each one of SPLITS
    class_names: tuple[str, ...]
    given_splits: tuple[str, ...]  # those that the source itself names
    side: int  # px, median short side of at most 64 files
    longest: int  # px, median long side of the same files
    default_policy: str | None
    reader: Reader
    strays: tuple[Unreadable, ...] = ()  # images in a place that gives them neither class nor split
    ignored: tuple[str, ...] = ()  # files beside the images, such as a license
    hidden: tuple[str, ...] = ()  # folders with images that are not looked at, for their names
    linked: tuple[str, ...] = ()  # links to folders that are read elsewhere, in words
    uncut: Uncut | None = None  # what splits were cut from; None: nothing was
    groups: Int64[np.ndarray, " n"] | None = None  # that a table names (groups.py); None: none
    white: White = OWN_WHITE  # of gray in more than 8 bits

    def __len__(self) -> int:
        return len(self.paths)

    def cut_around(self, groups: Int64[np.ndarray, " n"]) -> "Listing":
        """The same, and of no group images on two sides of a cut that nearfar makes."""
        return self if self.uncut is None else replace(self, splits=self.uncut.cut(groups))

    def facts(self, side: int) -> DataFacts:
        """The facts with views of `side` px."""
        return facts_of(self.name, self.class_names, self.labels, self.splits, side)


def rows_of(splits: Shaped[np.ndarray, " n"], name: str) -> Int64[Tensor, " rows"]:
    """The row numbers of one split. ValueError: none is called so."""
    if name not in SPLITS:
        raise ValueError(f"want one of {', '.join(SPLITS)}, got {name!r}")
    return torch.from_numpy(np.flatnonzero(splits == name).astype(np.int64))


def facts_of(
    name: str,
    class_names: tuple[str, ...],
    labels: Int64[np.ndarray, " n"],
    splits: Shaped[np.ndarray, " n"],
    side: int,
) -> DataFacts:
    """Counted from labels and splits; class counts are of labeled training images only."""
    labeled = {name: labels[(splits == name) & (labels >= 0)] for name in ("train", "val", "test")}
    counts = {
        name: tuple(np.bincount(part, minlength=len(class_names)).tolist())
        for name, part in labeled.items()
    }
    return DataFacts(
        name=name,
        side=side,
        class_names=class_names,
        class_counts=counts["train"],
        n_train=len(labeled["train"]),
        n_unlabeled=int((splits == "unlabeled").sum()),
        n_val=int((splits == "val").sum()),
        n_test=int((splits == "test").sum()),
        n_predict=int((splits == "predict").sum()),
        val_counts=counts["val"],
        test_counts=counts["test"],
    )
