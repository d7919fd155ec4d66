"""When a classifier should decide, and when a person should: by how often it was right on images
that it did not learn from, and by how near an image lies to those that it did learn from.

Letters: n images, m training images, E representation width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch.nn import functional as F

from nearfar.evaluate.classifier import Classifier
from nearfar.evaluate.features import Features

NEIGHBORS = 5  # training images that an image is held against
UNLIKE_QUANTILE = 0.99  # one validation image in a hundred is farther, and so called unlike
ROWS_A_CALL = 1024
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class HeldOut:
    """Labeled images that a classifier did not learn from, as it sees them."""

    probability: Float[np.ndarray, " n"]  # of the class that it finds
    right: Bool[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]  # to the nearest training images

    def __len__(self) -> int:
        return len(self.right)


@dataclass(frozen=True)
class Reference:
    """What new images are held against: reference.npz of a run folder."""

    train: Float[np.ndarray, "m width"]  # representations of training images, of length 1
    val: HeldOut
    test: HeldOut

    @property
    def farthest(self) -> float:
        """Distance to the nearest training images beyond which an image is unlike them; of fewer
        than a hundred validation images the farthest is not.
        """
        return float(np.quantile(self.val.distance, UNLIKE_QUANTILE, method="higher"))

    def distances(self, x: Float[np.ndarray, "n width"]) -> Float[np.ndarray, " n"]:
        """Of representations, to the nearest training images: `neighbor_distance`."""
        return neighbor_distance(x, self.train)

    def arrays(self) -> dict[str, Any]:
        """What reference.npz holds: what `reference_of` reads."""
        held = {
            f"{name}_{key}": array
            for name in HELD_OUT
            for key, array in vars(getattr(self, name)).items()
        }
        return {"train": self.train.astype(np.float16), **held}


def make_reference(splits: Mapping[str, Features], classifier: Classifier) -> Reference:
    """From the features of train, val and test by the encoder that the classifier reads."""
    # as they are stored, so that distances are the same before and after
    train = _unit(splits["train"].x).numpy().astype(np.float16).astype(np.float32)
    val, test = (_held_out(splits[name], classifier, train) for name in HELD_OUT)
    return Reference(train, val, test)


def reference_of(arrays: Mapping[str, Any]) -> Reference:
    """The reference of the arrays that reference.npz holds. KeyError: one is missing."""
    val, test = (
        HeldOut(*(arrays[f"{name}_{key}"] for key in HeldOut.__dataclass_fields__))
        for name in HELD_OUT
    )
    return Reference(arrays["train"].astype(np.float32), val, test)


def neighbor_distance(
    x: Float[np.ndarray, "n width"], train: Float[np.ndarray, "m width"]
) -> Float[np.ndarray, " n"]:
    """Mean cosine distance of each row to the nearest five rows of `train` (to all, where there are
    fewer), whose length is 1. In [0, 2].

    Sun et al. 2022, arXiv:2204.06507, take the k-th; a mean depends less on a single image.
    """
    bank, k = torch.from_numpy(train), min(NEIGHBORS, len(train))
    parts = [
        1 - (rows @ bank.T).topk(k, dim=1).values.mean(dim=1)
        for rows in torch.split(_unit(x), ROWS_A_CALL)
    ]
    found: Float[np.ndarray, " n"] = torch.cat(parts).clamp(min=0).numpy()
    return found


def smallest_threshold(
    probability: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], wanted: float
) -> float | None:
    """The smallest of the probabilities at which, of the images that have it or more, at least
    `wanted` are right; None where there is none.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_equals = np.append(ranked[1:] < ranked[:-1], True)[: len(ranked)]
    enough = np.flatnonzero(last_of_equals & (accuracy >= wanted))
    return float(ranked[enough[-1]]) if len(enough) else None


def _held_out(of: Features, classifier: Classifier, train: Float[np.ndarray, "m width"]) -> HeldOut:
    shares = classifier.probabilities(of.x)
    return HeldOut(
        shares.max(axis=1), shares.argmax(axis=1) == of.y, neighbor_distance(of.x, train)
    )


def _unit(x: Float[np.ndarray, "n width"]) -> Float[torch.Tensor, "n width"]:
    return F.normalize(torch.from_numpy(x), dim=1)
