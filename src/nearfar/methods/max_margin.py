"""Large-margin softmax, the max-margin baseline: the true class must win by a factor of the angle.

Khosla et al. cite it for their max-margin baseline without naming m or λ. The defaults are those of
the authors' CIFAR-10 run: m = 2 and λ = 1,000 (1 + .6 progress)^-45, which is their schedule over
their 30,000 steps.

Deviations: optimizer, learning rate and views are those of cross_entropy, so that the two can be
compared; λ stays at least 5, because without this limit short runs end up predicting few classes
(CIFAR-10, conv4, 620 steps, one seed, kNN accuracy on validation: 51.7 %; without the limit, at
rate .05, 31.5 %).
"""

import math
from typing import final

import torch
from pydantic import Field
from torch import nn

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import large_margin_softmax
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views


class MaxMarginConfig(MethodConfig):
    """Large-margin softmax: a classifier whose true class has to win although its angle is
    multiplied.

    The harder rule makes a class more compact around its direction than cross-entropy does.
    """

    margin: int = Field(
        2,
        ge=1,
        description=(
            "number m that the angle to the true class is multiplied by; 1 is the plain softmax"
        ),
    )
    softness: float = Field(
        1000.0,
        ge=0,
        description=(
            "weight λ of the plain logit at the start of the run; it makes the task easier and"
            " falls during training"
        ),
    )
    softness_end: float = Field(
        5.0,
        ge=0,
        description=(
            "smallest value of λ; raise it, for example to 10, if training with a margin above 2"
            " fails"
        ),
    )


@final
class MaxMargin(Method):
    Config = MaxMarginConfig
    needs_labels = True
    takes_unlabeled = False
    default_views = "basic"
    default_count = 1
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "Liu et al. 2016, arXiv:1612.02295"
    head: nn.Linear

    def __init__(self, encoder: Encoder, config: MaxMarginConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.head = nn.Linear(encoder.width, data.n_classes, bias=False)
        self.chance = math.log(data.n_classes)
        self.margin, self.softness, self.softness_end = (
            config.margin,
            config.softness,
            config.softness_end,
        )

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        softness = max(self.softness_end, self.softness * (1 + 0.6 * batch.progress) ** -45)
        loss = large_margin_softmax(
            h,
            self.head.weight,
            batch.labels,
            margin=self.margin,
            softness=softness,
            group=self.group,
        )
        correct = (self.head(h).detach().argmax(dim=-1) == batch.labels).to(torch.float32).mean()
        return StepResult(loss, h, logs={"chance": scalar(self.chance, h), "accuracy": correct})
