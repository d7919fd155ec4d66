"""MoCo, version 1 (`projector = "linear"`, temperature .07) and version 2 (`"mlp"`, temperature
.2).

The first view is the query; the others are keys, made by the target network. With `symmetric`, each
view is the query in turn. BatchNorm normalizes queries and keys in groups of samples, keys in
another order than queries (nn/groups.py), and each view alone, as the authors' moco/builder.py and
notebook for CIFAR-10 have it.

Deviations: target momentum .99 and a queue of 4,096 rows, as in the authors' notebook for CIFAR-10,
instead of .999 and 65,536; a shorter queue for few images; learning rate .2 per 256 images, because
that notebook's .03 is for 200 epochs and more; Nesterov momentum.
"""

import math
from collections.abc import Mapping
from typing import final

import torch
from pydantic import Field
from torch import Tensor

from nearfar.config import projectors
from nearfar.config.misfits import too_short
from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import info_nce
from nearfar.losses.floors import info_nce_floor
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder
from nearfar.nn.groups import encode_keys, encode_queries
from nearfar.nn.heads import out_width, projector
from nearfar.nn.queue import Queue, queue_length
from nearfar.nn.target import TargetNetwork


class MoCoConfig(MethodConfig):
    """MoCo: each view has to find the key of its image's other view among a queue of keys of
    earlier images.

    The queue gives thousands of negatives to a small batch; keys come from a slowly moving target
    network, so old and new ones stay comparable.
    """

    temperature: float = Field(
        0.2, gt=0, description="divides the cosine similarities; MoCo version 1 has 0.07"
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
            "number of earlier keys kept as negatives (default: 4096, or half the training images"
            " if that is less)"
        ),
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("none")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description="width of the hidden layer of an mlp projector (default: the encoder's width)",
    )
    projection_dim: int = Field(128, gt=0, description="width of the projection z")
    symmetric: bool = Field(
        False, description="true: each view is the query in turn, which takes twice the work"
    )
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
class MoCo(Method):
    Config = MoCoConfig
    needs_labels = False
    default_views = "moco_v2"
    fewest_views = 2
    batch_norm_groups = "views"
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "He et al. 2020, arXiv:1911.05722; Chen et al. 2020, arXiv:2003.04297 (version 2)"

    def __init__(self, encoder: Encoder, config: MoCoConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.projector = projector(config, encoder.width)
        self.target = TargetNetwork(encoder, self.projector)
        self.queue = Queue(
            queue_length(config.queue_size, data.n_images, most=4096),
            out_width(self.projector, encoder.width),
        )
        self.temperature, self.momentum = config.temperature, config.momentum
        self.symmetric, self.size = config.symmetric, config.batch_norm_group

    def step(self, batch: Batch) -> StepResult:
        first, *rest = batch.views
        asked = batch.views if self.symmetric else (first[:1],)
        known = (
            batch.views
            if self.symmetric
            else tuple(part for part in (first[1:], *rest) if len(part))
        )
        order = batch.uniform("order of keys", 1)[:, 0]
        h = encode_queries(self.encoder, asked, size=self.size, group=self.group)
        z = self.projector(h)
        h_keys = encode_keys(
            self.target.encoder, known, size=self.size, order=order, group=self.group
        )
        with torch.no_grad():
            keys = self.target.projector(h_keys)
        if self.symmetric:
            sets = [torch.cat([z[v : v + 1], keys[:v], keys[v + 1 :]]) for v in range(len(z))]
        else:
            sets = [torch.cat([z, keys])]
            h, z = torch.cat([h, h_keys]), sets[0]
        loss = torch.stack([self._loss(each) for each in sets]).mean()
        remember = {"keys": keys, "index": batch.index}
        negatives = len(self.queue)
        floor = info_nce_floor(1, negatives, negatives + 1, temperature=self.temperature)
        logs = {
            "chance": scalar(math.log1p(negatives), h),
            "floor": scalar(floor, h),
            "queue_age": self.queue.age,
        }
        return StepResult(loss, h, z, logs, remember)

    def _loss(self, query_and_keys: Tensor) -> Tensor:
        return info_nce(
            query_and_keys,
            temperature=self.temperature,
            negatives="queue",
            queue=self.queue.rows,
            group=self.group,
        )

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        self.target.move(self, momentum=self.momentum)
        self.queue.push(remember["keys"], remember["index"], group=self.group)
