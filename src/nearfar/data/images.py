"""A data set of images as everything later reads it, wherever its pixels are."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped, UInt8
from torch import Tensor

from nearfar.core.types import DataFacts, StoredImages
from nearfar.data.center import CenterSquare
from nearfar.data.groups import has_one_in
from nearfar.data.listing import Unreadable, facts_of, rows_of
from nearfar.data.sampler import Drawn

_LOOKED_AT, _AT_ONCE = 2000, 64  # images, for whether there are colors


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageData(ABC):
    """Readable images only, n of them; S: `side`."""

    name: str
    center: CenterSquare
    labels: Int64[Tensor, " n"]  # -1: none
    splits: Shaped[np.ndarray, " n"]  # (n,)
    paths: tuple[str, ...]
    class_names: tuple[str, ...]
    default_policy: str | None
    skipped: tuple[Unreadable, ...]
    source: str = ""
    groups: Int64[np.ndarray, " n"] | None = None  # None: no image belongs to another
    n_withheld: int = 0  # labels of training images (labels.py)
    n_mislabeled: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    @property
    @abstractmethod
    def side(self) -> int:
        """S, px."""

    @abstractmethod
    def rows(self, index: Int64[Tensor, " batch"]) -> StoredImages:
        """Copies of these rows, from which views are made."""

    @abstractmethod
    def evaluation_pixels(self, index: Int64[Tensor, " batch"]) -> UInt8[Tensor, "batch _ _ 3"]:
        """The evaluation views of these rows, before normalization."""

    def shards(self) -> Int64[np.ndarray, " n"] | None:
        """Number of the file that each row is fetched with; None: all are at hand."""
        return None

    def ahead(self, order: Iterator[Drawn]) -> Iterator[Drawn]:
        """The same batches, and what they need is got ready meanwhile."""
        return order

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """Files that are left out, or that could not be read so far."""
        return self.skipped

    def few(self, rows: Int64[Tensor, " row"], most: int) -> Int64[Tensor, " few"]:
        """At most so many of these rows, spread evenly, for what is said of all of them."""
        return rows[torch.linspace(0, max(len(rows) - 1, 0), min(len(rows), most)).long()]

    def split(self, name: str) -> Int64[Tensor, " rows"]:
        """Row numbers of "train", "val", "test" or "unlabeled"."""
        return rows_of(self.splits, name)

    def seen(self, training: Sequence[str]) -> Bool[np.ndarray, " n"]:
        """Which images have one of their group in a split of these."""
        groups = np.arange(len(self)) if self.groups is None else self.groups
        return has_one_in(groups, self.splits, training)

    def facts(self, side: int) -> DataFacts:
        """The facts with views of `side` px."""
        facts = facts_of(self.name, self.class_names, self.labels.numpy(), self.splits, side)
        return replace(
            facts,
            colored=self.colored,
            n_withheld=self.n_withheld,
            n_mislabeled=self.n_mislabeled,
        )

    @cached_property
    def colored(self) -> bool:
        """Whether a pixel of at most 2,000 images, spread evenly, is not gray."""
        few = self.few(torch.arange(len(self)), _LOOKED_AT)
        return any(self._are_colored(rows) for rows in torch.split(few, _AT_ONCE))

    def _are_colored(self, rows: Tensor) -> bool:
        pixels = self.rows(rows).images
        return bool((pixels != pixels[..., :1]).any())
