"""SwAV.

Views of the first group give assignments, balanced over the batch and a queue of earlier
projections; every view predicts those of the others. Prototypes get no gradient at first and are
brought back to length 1 after each step; their gradient is the authors', with its part along the
prototype.

BatchNorm normalizes the views of one side together in the encoder, and all views together in the
projector, as the authors' resnet50.py has it (`forward` concatenates crops of one resolution).

Deviations: SGD instead of LARS; 3,000 prototypes belong to ImageNet's 1.28 million images, and
fewer images have fewer by the root of their number (596 for CIFAR-10); the projector is four times
the encoder's width inside, at most the paper's 2,048.

Short runs get stuck at the loss ln K, all prototypes as good as each other. So prototypes rest for
three tenths of the run instead of the first epoch of hundreds, and there is no queue unless one is
asked for (the authors', of 3,840 rows for batches of 256, is used after 15 epochs; here one for the
assigning views instead of one each). CIFAR-10, 16,000 images, Conv4, 10 epochs, one seed, kNN on
validation: 32.3 %; at rest for a hundredth, views of `relational`, 30.8 %, and 31.6 % with a queue;
at rest for a tenth with a queue 26.5 %, stuck. Fewer prototypes than z has dimensions (64 for
128) were stuck too: z can lie across all of them.
"""

import math
from collections.abc import Mapping
from typing import final

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from nearfar.config import projectors
from nearfar.config.misfits import too_many, too_short
from nearfar.config.models import MethodConfig
from nearfar.core.ranks import own_part
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import swapped_prediction
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector
from nearfar.nn.prototypes import Prototypes
from nearfar.nn.queue import Queue


class SwAVConfig(MethodConfig):
    """SwAV: each view predicts to which prototypes the other views are assigned; assignments are
    balanced over the batch.

    The balance keeps images from all being assigned to one prototype, so no pairs have to be
    compared.
    """

    needs_projector = "swav's prototypes have the width of a projection"

    temperature: float = Field(
        0.1,
        gt=0,
        description="divides the similarities to prototypes in the prediction; lower is sharper",
    )
    epsilon: float = Field(0.05, gt=0, description="sharpness of the assignments: lower is sharper")
    rounds: int = Field(
        3, ge=1, description="rounds of balancing (Sinkhorn-Knopp iterations) per batch"
    )
    prototypes: int | None = Field(
        None,
        ge=2,
        description=(
            "number K of prototypes (default: 8/3 times the square root of the number of training"
            " images, at most 3000)"
        ),
    )
    frozen_until: float = Field(
        0.3, ge=0, le=1, description="fraction of the run during which the prototypes do not move"
    )
    queue_size: int = Field(
        0,
        ge=0,
        description=(
            "number of earlier projections that join the balancing, for small batches; 0: no queue"
        ),
    )
    queue_from: float = Field(
        0.1,
        ge=0,
        le=1,
        description="fraction of the run after which the queue is used, once it is full",
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("hidden")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description=(
            "width of the hidden layer of the projector (default: 4 times the encoder's width, at"
            " most 2048)"
        ),
    )
    projection_dim: int = Field(128, gt=0, description="width of the projection z")

    def misfits(self, images: int, batch_size: int, views: int) -> list[str]:
        return too_short(self.queue_size or None, batch_size) + too_many(self.prototypes, images)


@final
class SwAV(Method):
    Config = SwAVConfig
    needs_labels = False
    default_views = "swav"
    fewest_views = 2
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.5, weight_decay=1e-4)
    paper = "Caron et al. 2020, arXiv:2006.09882"

    def __init__(self, encoder: Encoder, config: SwAVConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        hidden_dim, width = config.hidden_dim or min(2048, 4 * encoder.width), config.projection_dim
        self.projector = projector(config, encoder.width, hidden_dim=hidden_dim, out_dim=width)
        self.prototypes = Prototypes(width, config.prototypes or default_prototypes(data.n_images))
        self.queue = Queue(config.queue_size, width) if config.queue_size else None
        self.temperature, self.epsilon, self.rounds = (
            config.temperature,
            config.epsilon,
            config.rounds,
        )
        self.frozen_until, self.queue_from = config.frozen_until, config.queue_from

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        z = F.normalize(self.projector(h), dim=-1)  # (V, B, D)
        assigning, earlier = len(batch.views[0]), None
        if self.queue is not None and batch.progress >= self.queue_from and bool(self.queue.full):
            earlier = (
                self.prototypes(own_part(self.queue.rows, self.group))
                .detach()
                .expand(assigning, -1, -1)
            )
        loss = swapped_prediction(
            self.prototypes(z),
            temperature=self.temperature,
            epsilon=self.epsilon,
            rounds=self.rounds,
            assigning_views=assigning,
            queue=earlier,
            group=self.group,
        )
        remember = {"z": z[:assigning].detach(), "index": batch.index}
        count = len(self.prototypes)
        logs = {"chance": scalar(math.log(count), h), "prototypes": scalar(count, h)}
        if self.queue is not None:
            logs["queue_age"] = self.queue.age
        return StepResult(loss, h, z, logs, remember)

    def after_backward(self, progress: float) -> None:
        if progress < self.frozen_until:
            self.prototypes.weight.grad = None

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        self.prototypes.renormalize()
        if self.queue is not None:
            self.queue.push(remember["z"], remember["index"], group=self.group)


def default_prototypes(images: int) -> int:
    return max(2, min(3000, round(8 / 3 * math.sqrt(images))))
