"""What training and evaluation need of samples, whatever a sample is: here images and rows of
features.

Letters: V views, B samples, S side of a view (px), E features of a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, Shaped, UInt8
from torch import Tensor

from nearfar.core.types import DataFacts
from nearfar.data.center import CenterSquare
from nearfar.data.images import ImageData
from nearfar.data.listing import facts_of, rows_of
from nearfar.data.sampler import Drawn
from nearfar.views.kernels import PerChannel, used_again
from nearfar.views.making import ViewPlan, make_views


@runtime_checkable
class Samples(Protocol):
    """A data set as training and evaluation see it: rows 0 to n - 1, their views, their labels.

    Another kind of data (text, sound, series, tables) needs a class of this form, and encoders that
    take what it makes.
    """

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """-1: none."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def facts(self) -> DataFacts:
        """What methods are told of the data."""

    def __len__(self) -> int: ...

    def split(self, name: str) -> Int64[Tensor, " rows"]:
        """Row numbers of "train", "val", "test" or "unlabeled"."""

    def views(
        self,
        index: Int64[Tensor, " batch"],
        draw: Int64[Tensor, " batch"],
        *,
        seed: int,
        epoch: int,
    ) -> tuple[Float[Tensor, "_ batch ..."], ...]:
        """The views of these rows, a tensor (V, B, ...) for each view group, on the device. `draw`:
        how often each row was drawn before in this epoch. The same arguments give the same views.
        """

    def shards(self) -> Int64[np.ndarray, " n"] | None:
        """Number of the file that each row is fetched with, so that an epoch takes one after the
        other; None: all are at hand.
        """

    def ahead(self, order: Iterator[Drawn]) -> Iterator[Drawn]:
        """The same batches of an epoch, and what they need is got ready meanwhile."""

    def evaluation_input(self, index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch ..."]:
        """These rows as a frozen encoder is shown them, on the device. No randomness."""


@dataclass(frozen=True)
class EvaluationView:
    """How an image is shown to a frozen encoder: centered square, resized, normalized."""

    center: CenterSquare
    mean: PerChannel
    std: PerChannel

    @property
    def size(self) -> int:
        """Its side, px."""
        return self.center.size

    def normalized(
        self, pixels: UInt8[Tensor, "batch size size 3"]
    ) -> Float32[Tensor, "batch 3 size size"]:
        """(value in [0, 1] - mean) / std; the channels of a pixel stay side by side in memory."""
        shift, scale = (  # of a whole line of pixels: three numbers at a time would be slow
            torch.tensor(per_channel, device=pixels.device).repeat(self.size)
            for per_channel in ([255 * m for m in self.mean], [1 / (255 * s) for s in self.std])
        )
        lines = pixels.flatten(2)
        on_cpu = pixels.device.type == "cpu"
        values = used_again(lines.shape).copy_(lines) if on_cpu else lines.float()
        return values.sub_(shift).mul_(scale).view(pixels.shape).permute(0, 3, 1, 2)


@final
@dataclass(frozen=True, eq=False)
class ImageSamples:
    """Stored images. Without a `plan` an image has one view, in which it is evaluated. `view` is of
    the center that `data` were loaded for.
    """

    data: ImageData
    view: EvaluationView
    device: torch.device
    plan: ViewPlan | None = None

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        return self.data.labels

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.data.class_names

    def facts(self) -> DataFacts:
        facts = self.data.facts(self.view.size)
        return replace(facts, mean=self.view.mean, std=self.view.std)

    def __len__(self) -> int:
        return len(self.data)

    def split(self, name: str) -> Int64[Tensor, " rows"]:
        return self.data.split(name)

    def views(
        self,
        index: Int64[Tensor, " batch"],
        draw: Int64[Tensor, " batch"],
        *,
        seed: int,
        epoch: int,
    ) -> tuple[Float[Tensor, "_ batch 3 _ _"], ...]:
        if self.plan is None:
            return (self.evaluation_input(index)[None],)
        stored = self.data.rows(index).to(self.device)
        return make_views(stored, self.plan, seed=seed, epoch=epoch, index=index, draw=draw)

    def shards(self) -> Int64[np.ndarray, " n"] | None:
        return self.data.shards()

    def ahead(self, order: Iterator[Drawn]) -> Iterator[Drawn]:
        return self.data.ahead(order) if self.plan is not None else order

    def evaluation_input(self, index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch 3 _ _"]:
        return self.view.normalized(self.data.evaluation_pixels(index).to(self.device))


@final
@dataclass(frozen=True, eq=False)
class FeatureSamples:
    """Rows of features, each its only view. They are kept on the device of `rows`."""

    name: str
    rows: Float[Tensor, "n embed"]
    labels: Int64[Tensor, " n"]
    splits: Shaped[np.ndarray, " n"]  # names of splits
    class_names: tuple[str, ...]

    def facts(self) -> DataFacts:
        return facts_of(self.name, self.class_names, self.labels.numpy(), self.splits, side=0)

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, name: str) -> Int64[Tensor, " rows"]:
        return rows_of(self.splits, name)

    def views(
        self,
        index: Int64[Tensor, " batch"],
        draw: Int64[Tensor, " batch"],
        *,
        seed: int,
        epoch: int,
    ) -> tuple[Float[Tensor, "1 batch embed"], ...]:
        del draw, seed, epoch  # a row is the same each time
        return (self.evaluation_input(index)[None],)

    def shards(self) -> None:
        return None

    def ahead(self, order: Iterator[Drawn]) -> Iterator[Drawn]:
        return order

    def evaluation_input(self, index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch embed"]:
        return self.rows[index.to(self.rows.device)]
