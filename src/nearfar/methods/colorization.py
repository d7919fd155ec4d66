"""Colorization: from the lightness of a view, the colors of its parts.

As published: colors are 313 bins of the ab plane; the target is a soft code over the 10 nearest
bins (as in the code; the paper's text has 5); rare colors have larger weights; images without any
color (no |a| or |b| above 5) are left out, and a batch of only such images has loss 0.

The encoder sees the lightness as three equal channels, L / 100, normalized as views are, so that
after training it takes ordinary images. What is predicted is the mean color at each place of its
feature map before pooling.

Deviations: the frequencies of colors, which say what is rare, are a moving mean over the batches of
these data (all equal at first) instead of a smoothed count over ImageNet; the loss is a mean over
pixels; SGD instead of Adam. The form for 32 px is ours: the map before pooling, whatever its side
(4 x 4 for Conv4). Measured on CIFAR-10 (20,000 images, Conv4, 10 epochs, one seed): linear probe
43.5 %, kNN 37.3 % (untrained 41.1, 32.9).
"""

import math
from collections.abc import Mapping
from typing import final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.config.models import MethodConfig
from nearfar.core.errors import UserError
from nearfar.core.ranks import all_sum
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import color_prediction
from nearfar.losses.color import BINS, mean_of_counted, rebalancing, soft_code
from nearfar.methods.base import Method, OptimizerDefaults
from nearfar.nn.encoders import Encoder, encode_maps
from nearfar.views.color import lab

COLORFUL = 5.0  # |a| or |b| of some pixel


class ColorizationConfig(MethodConfig):
    """Colorization: from the lightness of an image, its colors have to be predicted at each place
    of the feature map.

    To know the color of a thing, one has to know the thing.
    """

    hidden_dim: int = Field(
        256,
        gt=0,
        description=(
            "width of the hidden layer of the head that predicts colors at each place of the"
            " feature map"
        ),
    )
    momentum: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="momentum of the frequencies of colors, by which rare colors get more weight",
    )


@final
class Colorization(Method):
    Config = ColorizationConfig
    needs_labels = False
    default_views = "basic"
    default_count = 1
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "Zhang, Isola & Efros 2016, arXiv:1603.08511"
    frequency: Tensor

    def __init__(self, encoder: Encoder, config: ColorizationConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        try:
            width = encoder.features_at(data.side)
        except ValueError as error:
            raise UserError(
                f"encoder.name: colorization wants one with a feature map; {error}"
            ) from error
        hidden = nn.Conv2d(width, config.hidden_dim, 1)
        self.colors = nn.Sequential(hidden, nn.ReLU(), nn.Conv2d(config.hidden_dim, len(BINS), 1))
        self.register_buffer("frequency", torch.full((len(BINS),), 1 / len(BINS)))
        self.mean, self.std, self.momentum = data.mean, data.std, config.momentum

    @classmethod
    def why_not(cls, data: DataFacts) -> str | None:
        gray = (
            None if data.colored else f"needs images with colors, and all of {data.name} are gray"
        )
        return super().why_not(data) or gray

    def step(self, batch: Batch) -> StepResult:
        parts = [self._maps_and_colors(views) for views in batch.views]
        h = torch.cat(
            [
                self.encoder.pool(maps.flatten(0, 1)).view(*maps.shape[:2], -1)
                for maps, _, _ in parts
            ]
        )
        cells = [
            self.colors(maps.flatten(0, 1)).movedim(1, -1).flatten(0, 2) for maps, _, _ in parts
        ]
        scores, ab = torch.cat(cells), torch.cat([colors for _, colors, _ in parts])
        counted = torch.cat([colorful for _, _, colorful in parts])
        weights = rebalancing(self.frequency)
        loss = color_prediction(scores, ab, weights, counted=counted, group=self.group)
        bins, shares = soft_code(ab)
        chance = math.log(len(BINS)) * mean_of_counted(weights[bins[:, 0]], counted, self.group)
        correct = mean_of_counted(
            (scores.detach().argmax(dim=1) == bins[:, 0]).to(h.dtype), counted, self.group
        )
        shares = (shares * counted[:, None]).flatten().to(self.frequency.dtype)
        seen = torch.zeros_like(self.frequency).index_add(0, bins.flatten(), shares)
        logs = {"chance": chance, "accuracy": correct, "colored": counted.to(h.dtype).mean()}
        return StepResult(loss, h, logs=logs, remember={"seen": seen})

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        seen = all_sum(remember["seen"], self.group)
        total = seen.sum()
        moved = (1 - self.momentum) * (total > 0)
        self.frequency.lerp_(seen / total.clamp(min=1), moved.to(seen.dtype))

    def _maps_and_colors(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature maps (V, B, F, h, w) of the lightness; the mean ab (V B h w, 2); which of them
        count.
        """
        mean, std = (views.new_tensor(x)[:, None, None] for x in (self.mean, self.std))
        lightness, ab = lab(views * std + mean).tensor_split([1], dim=2)
        maps = encode_maps(self.encoder, (lightness / 100 - mean) / std)
        # (V B, 2, h, w)
        cells = F.adaptive_avg_pool2d(ab.flatten(0, 1), (maps.shape[-2], maps.shape[-1]))
        colorful = (ab.abs() > COLORFUL).flatten(2).any(dim=2).flatten()
        counted = colorful[:, None].expand(-1, maps.shape[-2] * maps.shape[-1]).flatten()
        return maps, cells.movedim(1, -1).flatten(0, 2), counted
