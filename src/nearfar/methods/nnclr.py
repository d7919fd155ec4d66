"""NNCLR.

Neighbors are looked up before the batch is pushed, and only projections of the first view are
pushed, as in solo-learn.

BatchNorm normalizes each view alone, in the encoder and both heads, as the paper's pseudo-code has
it (`f(x1)`, `f(x2)`, then the heads on each) and solo-learn; the authors published no code.

Deviations: SGD instead of LARS; a neighbor finds its prediction among the batch's and the
prediction its neighbor (both directions, as `info_nce` has for two towers); a queue of 65,536 rows
(solo-learn's for CIFAR-10), or of half the images where those are fewer; heads of four times the
encoder's width, at most 2,048; temperature .2 as in solo-learn.
"""

import math
from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from nearfar.config import projectors
from nearfar.config.misfits import too_short
from nearfar.config.models import MethodConfig
from nearfar.core.ranks import placement
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import info_nce
from nearfar.losses.floors import info_nce_floor
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import mlp, projector
from nearfar.nn.queue import Queue, queue_length


class NNCLRConfig(MethodConfig):
    """NNCLR: the prediction from one view has to find the other view's nearest neighbor among
    images of earlier batches.

    A neighbor differs from its image more than an augmented view does, so images of one sort come
    together without labels.
    """

    needs_projector = "nnclr's predictor answers in the width of a projection"

    temperature: float = Field(
        0.2,
        gt=0,
        description=(
            "divides the cosine similarities; the lower, the more the hardest negatives count"
        ),
    )
    queue_size: int | None = Field(
        None,
        ge=1,
        description=(
            "number of earlier projections kept to find neighbors in (default: 65536, or half the"
            " training images if that is less)"
        ),
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(3)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("all")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description=(
            "width of the hidden layers of projector and predictor (default: 4 times the"
            " encoder's width, at most 2048)"
        ),
    )
    projection_dim: int = Field(256, gt=0, description="width of projection and prediction")

    def misfits(self, images: int, batch_size: int, views: int) -> list[str]:
        return too_short(self.queue_size, batch_size)


@final
class NNCLR(Method):
    Config = NNCLRConfig
    needs_labels = False
    default_views = "simclr"
    fewest_views = 2
    batch_norm_groups = "views"
    optimizer = OptimizerDefaults(
        "sgd", lr_per_256=0.5, weight_decay=1e-4, decay_norms_and_biases=False
    )
    paper = "Dwibedi et al. 2021, arXiv:2104.14548"

    def __init__(self, encoder: Encoder, config: NNCLRConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        hidden_dim, width = config.hidden_dim or min(2048, 4 * encoder.width), config.projection_dim
        self.projector = projector(config, encoder.width, hidden_dim=hidden_dim, out_dim=width)
        self.predictor = mlp(width, hidden_dim, width, batch_norm=True)
        self.queue = Queue(queue_length(config.queue_size, data.n_images, most=65536), width)
        self.temperature = config.temperature

    def step(self, batch: Batch) -> StepResult:
        groups = self.batch_norm_groups
        h = encode_views(self.encoder, batch.views, batch_norm_groups=groups)  # (V, B, E)
        z = self.projector(h, batch_norm_groups=groups)  # (V, B, D)
        p = self.predictor(z, batch_norm_groups=groups)
        neighbors = self._neighbors(z)
        pairs = [
            torch.stack([neighbors[v], p[w]])
            for v in range(len(z))
            for w in range(len(z))
            if v != w
        ]
        losses = [
            info_nce(pair, temperature=self.temperature, negatives="other_view", group=self.group)
            for pair in pairs
        ]
        samples = placement(z.shape[1], self.group, z.device).total
        floor = info_nce_floor(1, samples - 1, samples, temperature=self.temperature)
        remember = {"z": z[:1].detach(), "index": batch.index}
        logs = {
            "chance": scalar(math.log(samples), h),
            "floor": scalar(floor, h),
            "queue_age": self.queue.age,
        }
        return StepResult(torch.stack(losses).mean(), h, z, logs, remember)

    @torch.no_grad()
    def _neighbors(self, z: Float[Tensor, "view batch dim"]) -> Float[Tensor, "view batch dim"]:
        """The queue's row nearest to each projection."""
        return self.queue.rows[(F.normalize(z, dim=-1) @ self.queue.rows.T).argmax(dim=-1)]

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        self.queue.push(remember["z"], remember["index"], group=self.group)
