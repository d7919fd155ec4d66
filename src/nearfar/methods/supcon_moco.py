"""SupCon with a queue: the form with a memory that the paper offers for small batches.

The first view is the query and the only anchor; the target network's keys of the other views, and a
labeled queue of earlier keys, are what it is set against. BatchNorm is kept from telling a batch
as in MoCo (nn/groups.py), each view alone.

Deviations: the other queries of the batch are candidates too; target momentum .99 instead of MoCo's
.999 (the paper names none); a queue of 8,192 rows as in the paper, or of half the images where
those are fewer; the representation is normalized before the projector, as by `supcon`.
"""

import math
from collections.abc import Mapping
from typing import final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from nearfar.config import projectors
from nearfar.config.misfits import too_short
from nearfar.config.models import MethodConfig
from nearfar.core.ranks import placement
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import sup_con
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder
from nearfar.nn.groups import encode_keys, encode_queries
from nearfar.nn.heads import out_width, projector
from nearfar.nn.queue import Queue, queue_length
from nearfar.nn.target import TargetNetwork


class SupConMoCoConfig(MethodConfig):
    """SupCon with a queue: each view has to find its class among the target network's keys of this
    batch and earlier ones.

    The queue gives a small batch the positives and negatives of thousands of images.
    """

    temperature: float = Field(
        0.1,
        gt=0,
        description=(
            "divides the cosine similarities; the lower, the more the hardest negatives count"
        ),
    )
    momentum: float = Field(
        0.99,
        ge=0,
        le=1,
        description="momentum of the target network: weight of its old value in each step",
    )
    queue_size: int | None = Field(
        None,
        ge=1,
        description=(
            "number of earlier keys kept for comparison (default: 8192, or half the training"
            " images if that is less)"
        ),
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("none")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description="width of the projector's hidden layer (default: the encoder's width)",
    )
    projection_dim: int = Field(128, gt=0, description="width of the projection z")
    batch_norm_group: int = Field(
        32,
        ge=2,
        description=(
            "number of samples that BatchNorm normalizes together, so that queries cannot"
            " recognize keys by their batch"
        ),
    )

    def misfits(self, images: int, batch_size: int, views: int) -> list[str]:
        return too_short(self.queue_size, batch_size)


@final
class SupConMoCo(Method):
    Config = SupConMoCoConfig
    needs_labels = True
    default_views = "supcon"
    fewest_views = 2
    batch_norm_groups = "views"
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.18, weight_decay=1e-4)
    paper = "Khosla et al. 2020, arXiv:2004.11362 (the form with a memory)"

    def __init__(self, encoder: Encoder, config: SupConMoCoConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.projector = projector(config, encoder.width)
        self.target = TargetNetwork(encoder, self.projector)
        self.queue = Queue(
            queue_length(config.queue_size, data.n_images, most=8192),
            out_width(self.projector, encoder.width),
        )
        self.temperature, self.momentum, self.size = (
            config.temperature,
            config.momentum,
            config.batch_norm_group,
        )

    def step(self, batch: Batch) -> StepResult:
        first, *rest = batch.views
        others = tuple(part for part in (first[1:], *rest) if len(part))
        order = batch.uniform("order of keys", 1)[:, 0]
        h = encode_queries(self.encoder, (first[:1],), size=self.size, group=self.group)
        h_keys = encode_keys(
            self.target.encoder, others, size=self.size, order=order, group=self.group
        )
        query = self.projector(F.normalize(h, dim=-1))
        with torch.no_grad():
            keys = self.target.projector(F.normalize(h_keys, dim=-1))
        z = torch.cat([query, keys])  # (V, B, D)
        queue = self.queue
        loss = sup_con(
            z,
            batch.labels,
            temperature=self.temperature,
            contrast="one_view",
            queue=queue.rows,
            queue_labels=queue.labels,
            group=self.group,
        )
        samples = placement(z.shape[1], self.group, z.device).total
        logs = {
            "chance": scalar(math.log(len(z) * samples - 1 + len(queue)), h),
            "queue_age": queue.age,
        }
        remember = {"keys": keys, "index": batch.index, "labels": batch.labels}
        return StepResult(loss, torch.cat([h, h_keys]), z, logs, remember)

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        self.target.move(self, momentum=self.momentum)
        self.queue.push(remember["keys"], remember["index"], remember["labels"], group=self.group)
