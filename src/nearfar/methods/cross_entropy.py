"""Cross-entropy, the baseline: encoder and linear classifier are trained together.

Deviation: the encoder is judged by probes like every other; the trained classifier is measured as `head.top1`.
"""

import math
from typing import final

import torch
from torch import nn
from torch.nn import functional as F

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses.rows import mean_over
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views


class CrossEntropyConfig(MethodConfig):
    """Cross-entropy: the usual classifier, against which the others are measured."""


@final
class CrossEntropy(Method):
    Config = CrossEntropyConfig
    needs_labels = True
    takes_unlabelled = False
    default_views = "basic"
    default_count = 1
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "Khosla et al. 2020, arXiv:2004.11362 (the baseline of its Table 2)"
    head: nn.Linear

    def __init__(self, encoder: Encoder, config: CrossEntropyConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.head = nn.Linear(encoder.width, data.n_classes)
        self.chance = math.log(data.n_classes)

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        scores = self.head(h)  # (V, B, C)
        labels = batch.labels.expand(len(h), -1)
        each = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
        loss = mean_over(each, None, self.group)
        correct = (scores.detach().argmax(dim=-1) == labels).to(torch.float32).mean()
        return StepResult(loss, h, logs={"chance": scalar(self.chance, h), "accuracy": correct})
