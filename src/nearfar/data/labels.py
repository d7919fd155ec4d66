"""Which labels of the training images a run is given: few of them, or some that are wrong, for
experiments. Validation and test keep theirs.

What is drawn is a hash of (seed, path): the same for a folder, its copy and its archive, whatever
other images there are. A draw of fewer labels is part of a draw of more, and so is one of less
noise.

n: images, K: classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped

from nearfar.core.randomness import uniform
from nearfar.core.types import DataFacts
from nearfar.data.images import ImageData
from nearfar.data.listing import Listing, facts_of
from nearfar.data.splits import path_keys


class Given(NamedTuple):
    """Labels and splits as a run is given them."""

    labels: Int64[np.ndarray, " n"]  # -1: none
    splits: Shaped[np.ndarray, " n"]  # "unlabeled" where the label of a training image is withheld
    n_withheld: int
    n_mislabeled: int


@dataclass(frozen=True)
class LabelDraw:
    """What a run asks for; None: all labels, as they are."""

    per_class: int | None = None
    fraction: float | None = None  # of the labels of each class
    noise: float | None = None  # probability that a label becomes that of another class
    seed: int = 0

    @classmethod
    def asked(cls, data: Mapping[str, Any], seed: int) -> "LabelDraw":
        """By the section [data] of a configuration."""
        per_class, fraction = data.get("labels_per_class"), data.get("label_fraction")
        return cls(per_class, fraction, data.get("label_noise"), seed)

    def of(
        self,
        labels: Int64[np.ndarray, " n"],
        splits: Shaped[np.ndarray, " n"],
        paths: Sequence[str],
        classes: int,
    ) -> Given:
        """First all but a few labels are withheld, then some of those become wrong."""
        train = np.flatnonzero((splits == "train") & (labels >= 0))
        if self == LabelDraw(seed=self.seed) or not len(train):
            return Given(labels, splits, 0, 0)
        inner = _below_common_folder(paths)
        names = [inner[row] for row in train]
        labels, splits = labels.copy(), splits.astype("<U9")  # room for "unlabeled"
        kept = self._kept(labels[train], names, classes)
        labels[train[~kept]], splits[train[~kept]] = -1, "unlabeled"
        named = [name for name, is_kept in zip(names, kept, strict=True) if is_kept]
        given = self._noisy(labels[train[kept]], named, classes)
        wrong = int((given != labels[train[kept]]).sum())
        labels[train[kept]] = given
        return Given(labels, splits, int((~kept).sum()), wrong)

    def _kept(
        self, labels: Int64[np.ndarray, " train"], names: Sequence[str], classes: int
    ) -> Bool[np.ndarray, " train"]:
        """Of each class so many; of its fraction at least one."""
        counts = np.bincount(labels, minlength=classes)
        most = counts
        if self.per_class is not None:
            most = np.minimum(counts, self.per_class)
        elif self.fraction is not None:
            most = np.maximum(np.floor(self.fraction * counts + 0.5), 1).astype(np.int64)
        order = np.lexsort((path_keys(names, "labels", self.seed), labels))
        first = np.cumsum(counts) - counts
        place = np.empty(len(labels), dtype=np.int64)
        place[order] = np.arange(len(labels)) - first[labels[order]]
        return np.array(place < most[labels])

    def _noisy(
        self, labels: Int64[np.ndarray, " kept"], names: Sequence[str], classes: int
    ) -> Int64[np.ndarray, " kept"]:
        """Symmetric noise: every other class is equally likely to take the place of the true
        one.
        """
        if not self.noise or classes < 2:
            return labels
        keys = torch.from_numpy(path_keys(names, "label noise", self.seed))
        is_wrong, which = uniform(keys, 2).double().numpy().T
        other = np.floor(which * (classes - 1)).astype(np.int64)
        return np.where(is_wrong < self.noise, other + (other >= labels), labels)


def _below_common_folder(paths: Sequence[str]) -> list[str]:
    """The paths without the folders that all lie in, as those of an archive often do."""
    first, last = min(paths).split("/")[:-1], max(paths).split("/")[:-1]
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    return [path.split("/", same)[same] for path in paths]


def listed_facts(listing: Listing, draw: LabelDraw, side: int) -> DataFacts:
    """What is known before an image is read, with views of `side` px."""
    given = draw.of(listing.labels, listing.splits, listing.paths, len(listing.class_names))
    facts = facts_of(listing.name, listing.class_names, given.labels, given.splits, side)
    return replace(facts, n_withheld=given.n_withheld, n_mislabeled=given.n_mislabeled)


def with_labels(data: ImageData, draw: LabelDraw) -> ImageData:
    """The images that could be read, with the labels that a run is given."""
    given = draw.of(data.labels.numpy(), data.splits, data.paths, len(data.class_names))
    return replace(
        data,
        labels=torch.from_numpy(given.labels),
        splits=given.splits,
        n_withheld=given.n_withheld,
        n_mislabeled=given.n_mislabeled,
    )
