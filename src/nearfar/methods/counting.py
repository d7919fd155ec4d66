"""Learning to count: what is seen in the four quarters of an image adds up to what is seen in the
image at half size.

As published: the features are 1,000 counts, never below 0; the quarters and the half-sized image
have the same side; the features of another image, shrunk, have to keep a squared distance of 10,
because otherwise all counts could be 0. One of five ways of shrinking is drawn for each image,
because the traces of a single way could be recognized; two thirds of the images are gray.

The other image is the next one of the batch. The form for small images is ours: one hidden layer
with BatchNorm, and counts in units in which the margin is 1 per count; in larger units all counts
became 0 (loss 10, the margin) and stayed there. Views of 32 px (quarters of 16) teach little.
Measured on CIFAR-10 (20,000 images, Conv4, 10 epochs, two seeds): linear probe 41.9 and 43.4 %
(untrained 41.1 and 39.6), kNN 35.5 and 36.3 % (32.9 and 32.3).
"""

from typing import final

import torch
from pydantic import Field
from torch import Tensor

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import counting
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_tiles
from nearfar.nn.heads import mlp
from nearfar.nn.pretext import draws, refuse_views
from nearfar.views import tiles

PARTS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (down, right) of each quarter


class CountingConfig(MethodConfig):
    """Counting: the features of a view's four quarters have to add up to those of the view at half
    its size.

    Numbers of things add up in this way; another image's must differ, because features that are all
    0 would add up too.
    """

    counts: int = Field(1000, gt=0, description="number of features that have to add up")
    hidden_dim: int = Field(
        512, gt=0, description="width of the hidden layer of the head that counts"
    )
    margin: float = Field(
        10.0, gt=0, description="squared distance that the features of another image have to keep"
    )
    gray: float = Field(
        0.67,
        ge=0,
        le=1,
        description="probability that an image is made gray, so that colors are not counted",
    )


@final
class Counting(Method):
    Config = CountingConfig
    needs_labels = False
    default_views = "basic"
    default_count = 1
    smallest_view_px = 32
    optimizer = OptimizerDefaults("adam", lr_per_256=1e-3, weight_decay=1e-4)
    paper = "Noroozi, Pirsiavash & Favaro 2017, arXiv:1708.06734"

    def __init__(self, encoder: Encoder, config: CountingConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        refuse_views(encoder, data.side // 2, data)
        self.data, self.margin, self.gray = data, config.margin, config.gray
        self.counts = mlp(encoder.width, config.hidden_dim, config.counts, batch_norm=True)
        self.unit = (config.margin / config.counts) ** 0.5

    def step(self, batch: Batch) -> StepResult:
        """NothingToCompareError: a single image, which has no other."""
        numbers = draws(batch, "counting", 2)
        shown = tuple(self._show(views, u) for views, u in zip(batch.views, numbers, strict=True))
        h = encode_tiles(self.encoder, shown)  # (5, V, B, E): the whole, then its quarters
        whole, *quarters = self.unit * self.counts(h).relu()
        loss = counting(whole, torch.stack(quarters), margin=self.margin, group=self.group)
        return StepResult(loss, h[0], logs={"chance": scalar(self.margin, h)})

    def _show(self, views: Tensor, u: Tensor) -> Tensor:
        """(5, V, B, C, s, s): the view at half its size, then its quarters."""
        half = views.shape[-1] // 2
        views = torch.where(
            (u[..., 0] < self.gray)[..., None, None, None], tiles.grayed(views, self.data), views
        )
        bank = tiles.shrinkings(2 * half, half)
        whole = tiles.resampled(
            views[..., : 2 * half, : 2 * half], bank, (u[..., 1] * len(bank)).to(torch.int64)
        )
        quarters = [
            views[..., y * half : (y + 1) * half, x * half : (x + 1) * half] for y, x in PARTS
        ]
        return torch.stack([whole, *quarters])
