"""Relative position: which of its eight neighbors is the second patch of the first?

As published: gap and jitter by the patch's side (48 and 7 of 96), against edges that go on; green -
magenta taken out of colors, or one channel kept, against the fringes of lenses; a patch shrunk and
enlarged again a third of the time. The form for 32 px is ours: a patch is 3/8 of the view (12 px of
32), and the pair lies anywhere in it, which leaves room for two patches instead of nine; four pairs
an image. CIFAR-10, 20,000 images, Conv4, 10 epochs, two seeds: linear probe 42.8 and 45.3 %
(untrained 41.1 and 39.6), kNN 38.5 and 38.6 % (32.9 and 32.3). The first seed with one pair: 41.6
and 35.0 %; with one channel kept instead 40.2 and 33.9 %.

Further deviations: each patch is brought to mean 0 and deviation 1 by itself (Kolesnikov et al.
2019, arXiv:1901.09005) instead of by its RMS; channels that are not kept are 0 instead of faint
noise; features meet after pooling.
"""

from typing import Literal, final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses.answers import answered
from nearfar.methods.base import Method, OptimizerDefaults
from nearfar.nn.encoders import Encoder, encode_tiles
from nearfar.nn.heads import mlp
from nearfar.nn.pretext import draws, refuse_views
from nearfar.views import tiles

# (down, right) of the first patch
NEIGHBORS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
COARSE, COARSEST = 0.33, 10  # how often, and the least side in px


class RelativePositionConfig(MethodConfig):
    """Relative position: the encoder sees two patches of a view and has to tell in which of eight
    directions the second lies.

    That takes knowing which parts things have, and where these lie.
    """

    hidden_dim: int = Field(
        512, gt=0, description="width of the hidden layer of the head that sees both patches"
    )
    color: Literal["project", "drop"] = Field(
        "project",
        description=(
            "against cues from color fringes: project (remove the green-magenta axis) or drop"
            " (keep one color channel)"
        ),
    )


@final
class RelativePosition(Method):
    Config = RelativePositionConfig
    needs_labels = False
    default_views = "basic"
    default_count = 4
    smallest_view_px = 32
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "Doersch, Gupta & Efros 2015, arXiv:1505.05192"

    def __init__(self, encoder: Encoder, config: RelativePositionConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        refuse_views(encoder, _patch(data.side), data)
        self.data, self.color = data, config.color
        self.position = mlp(2 * encoder.width, config.hidden_dim, len(NEIGHBORS))

    def step(self, batch: Batch) -> StepResult:
        posed = [
            self._pose(views, u)
            for views, u in zip(batch.views, draws(batch, "pair", 12), strict=True)
        ]
        h = encode_tiles(self.encoder, tuple(pair for pair, _ in posed))  # (2, V, B, E)
        labels = torch.cat([label for _, label in posed])
        loss, logs = answered(self.position(torch.cat([h[0], h[1]], dim=-1)), labels, self.group)
        return StepResult(loss, h.flatten(0, 1), logs=logs)

    def _pose(self, views: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs (2, V, B, C, s, s) and their labels (V, B), by twelve numbers of each view."""
        side = _patch(views.shape[-1])
        labels = (u[..., 0] * len(NEIGHBORS)).to(torch.int64)
        top, left = pair_places(labels, u[..., 1:7], views.shape[-1])
        if self.color == "project":
            views = tiles.without_green_magenta(views, self.data)
        pair = tiles.standardized(tiles.cut(views, top[..., None], left[..., None], side))
        bank = tiles.coarsenings(side, min(COARSEST, side))
        coarser = (
            (u[..., 7:9] / COARSE * (len(bank) - 1))
            .to(torch.int64)
            .clamp(max=len(bank) - 1)
            .movedim(-1, 0)
        )
        pair = tiles.resampled(pair, bank, coarser)
        if self.color == "drop":
            kept = F.one_hot((u[..., 9:11] * 3).to(torch.int64), 3).movedim(2, 0)
            pair = pair * kept[..., None, None]
        return pair, labels


def pair_places(labels: Tensor, u: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Top and left (V, B, 2) of both patches: the pair anywhere in the view, then each strays."""
    side, stray = _patch(size), round(7 / 96 * _patch(size))
    step = torch.tensor(NEIGHBORS, device=u.device)[labels] * (side + side // 2)  # (V, B, 2)
    room = size - side - step.abs() - 2 * stray
    first = stray + (-step).clamp(min=0) + (u[..., :2] * (room + 1)).to(torch.int64)
    places = torch.stack([first, first + step], dim=-1)  # (V, B, axis, patch)
    places = (
        places + (u[..., 2:].view(*u.shape[:2], 2, 2) * (2 * stray + 1)).to(torch.int64) - stray
    )
    return places[..., 0, :], places[..., 1, :]


def _patch(size: int) -> int:
    return 3 * size // 8
