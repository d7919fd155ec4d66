"""Predicting rotations: each image is shown in its four turns, and the encoder is to tell which is
which.

Whole views are turned, by exact quarter turns and after all other operations: a mirror image after
the turn would make 90 and 270 degrees the same task. The four turns of an image are in one batch,
as in the authors' code.

Deviation: optimizer and learning rate are those of cross_entropy.
"""

from typing import final

import torch
from torch import nn

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses.answers import answered
from nearfar.methods.base import Method, OptimizerDefaults
from nearfar.nn.encoders import Encoder, encode_views

TURNS = 4


class RotationConfig(MethodConfig):
    """Rotation: the encoder has to tell by how many quarter turns an image was turned.

    That takes knowing what is shown, and how such things usually stand.
    """


@final
class Rotation(Method):
    Config = RotationConfig
    needs_labels = False
    default_views = "basic"
    default_count = 1
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "Gidaris, Singh & Komodakis 2018, arXiv:1803.07728"

    def __init__(self, encoder: Encoder, config: RotationConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.turns = nn.Linear(encoder.width, TURNS)

    def step(self, batch: Batch) -> StepResult:
        turned = (
            torch.cat([views.rot90(turn, dims=(-2, -1)) for turn in range(TURNS)])
            for views in batch.views
        )
        parts = [torch.stack(encode_views(self.encoder, (views,)).chunk(TURNS)) for views in turned]
        h = torch.cat(parts, dim=1)  # (4, V, B, E)
        labels = torch.arange(TURNS, device=h.device)[:, None, None].expand(h.shape[:3])
        loss, logs = answered(self.turns(h), labels, self.group)
        return StepResult(loss, h[0], logs=logs)
