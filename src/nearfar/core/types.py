"""The values that travel between the parts: what a step is given, what it returns, what data are
like.

Letters: V views, B samples, C channels, H and W px, E representation width, D projection width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from nearfar.core.randomness import sample_keys, uniform


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data before training: what `why_not`, defaults and plans look at."""

    name: str
    side: int  # px: the side of the views that are made of it; 0 where samples are no images
    class_names: tuple[str, ...]  # () where there are no labels
    class_counts: tuple[int, ...]  # labeled training images of each class
    n_train: int  # labeled training images
    n_unlabeled: int = 0
    n_val: int = 0
    n_test: int = 0
    val_counts: tuple[int, ...] = ()  # labeled validation images of each class
    test_counts: tuple[int, ...] = ()  # and labeled test images
    # what views are normalized by: (value in [0, 1] - mean) / std
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    colored: bool = True  # some pixel is not gray; True also where nothing is decoded yet
    n_predict: int = 0  # left to predict and embed
    n_withheld: int = 0  # of the unlabeled: training images whose label the run is not given
    n_mislabeled: int = 0  # training images whose label was made a wrong one

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def n_images(self) -> int:
        """Training images, with a label or without: what queues and prototypes are sized by."""
        return self.n_train + self.n_unlabeled


@dataclass(frozen=True)
class StoredImages:
    """Rows of the store: squashed squares with their true size beside, from which views are
    made.
    """

    images: UInt8[Tensor, "batch side side 3"]
    # the same at half the side, so that shrinking warps do not alias
    half: UInt8[Tensor, "batch half half 3"]
    size_px: Int64[Tensor, "batch 2"]  # true width and height

    def to(self, device: torch.device | str) -> "StoredImages":
        """The pixels on that device; the sizes stay on the CPU, where views are drawn."""
        return StoredImages(self.images.to(device), self.half.to(device), self.size_px)


@dataclass(frozen=True)
class Batch:
    """One step's input."""

    # (V, B, ...) a view group, V is its own. Of images (V, B, C, H, W), and H and W are the
    # group's own too; of feature rows (1, B, E)
    views: tuple[Float[Tensor, "_ batch ..."], ...]
    labels: Int64[Tensor, " batch"]  # -1 means "no label"
    index: Int64[Tensor, " batch"]  # which sample
    draw: Int64[Tensor, " batch"]  # how often it was drawn before in this epoch
    seed: int
    epoch: int
    progress: float  # of the whole run, in [0, 1]

    def uniform(self, stream: str, n: int) -> Float[Tensor, "batch {n}"]:
        """`n` numbers in [0, 1) a sample, of a stream of that name."""
        return uniform(sample_keys(self.seed, stream, self.epoch, self.index, self.draw), n)


class BatchNeeds(NamedTuple):
    """What a batch has to hold so that a loss finds a pair in it."""

    equals: bool = False  # two images of a class
    others: bool = False  # images of two classes

    def __str__(self) -> str:
        words = ("two images of a class", "images of two classes")
        return " and ".join(word for word, needed in zip(words, self, strict=True) if needed)


class StepResult(NamedTuple):
    """What a method's step returns. A NamedTuple: Fabric rebuilds outputs and cannot rebuild a
    dataclass.
    """

    loss: Float[Tensor, ""]
    # what the doctor looks at; the loop detaches it
    representation: Float[Tensor, "view batch width"]
    projection: Float[Tensor, "view batch dim"] | None = None
    logs: Mapping[str, Tensor] = {}  # scalars
    remember: Mapping[str, Tensor] = {}  # what after_step pushes into a queue
