"""Cross-entropy, the baseline: encoder and linear classifier are trained together.

Deviation: the encoder is judged by probes like every other; the trained classifier is measured as
`head.top1`. Label smoothing, mixup and CutMix are off by default; what is ours in the latter stands
in views/mixing.py.
"""

import math
from typing import final

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfar.config import supervised
from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses.classification import balanced_weights, cross_entropy_terms
from nearfar.losses.floors import smoothed_entropy
from nearfar.losses.rows import weighted_mean
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.views.mixing import NUMBERS, Mixed, mix


class CrossEntropyConfig(MethodConfig):
    """Cross-entropy: the usual classifier, trained together with the encoder; the baseline for all
    other methods.

    A class only has to lie on the right side of a boundary; nothing asks for it to be compact.
    """

    label_smoothing: float = supervised.label_smoothing()
    class_weight: supervised.ClassWeight = supervised.class_weight()
    mixup: float = Field(
        0.0,
        ge=0,
        description=(
            "mixup: alpha of the Beta distribution that mixing weights are drawn from, for"
            " example 1; 0: no mixup"
        ),
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        description=(
            "CutMix: alpha of the Beta distribution, for example 1; 0: none; with mixup on too,"
            " each is used half the time"
        ),
    )
    mix_probability: float = Field(
        1.0,
        ge=0,
        le=1,
        description=("probability that a view is mixed; has an effect only with mixup or cutmix"),
    )


@final
class CrossEntropy(Method):
    Config = CrossEntropyConfig
    needs_labels = True
    takes_unlabeled = False
    default_views = "basic"
    default_count = 1
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "Khosla et al. 2020, arXiv:2004.11362 (the baseline of its Table 2)"
    head: nn.Linear
    class_weights: Tensor | None

    def __init__(self, encoder: Encoder, config: CrossEntropyConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.head = nn.Linear(encoder.width, data.n_classes)
        self.chance = math.log(data.n_classes)
        self.label_smoothing = config.label_smoothing
        self.floor = smoothed_entropy(data.n_classes, config.label_smoothing)
        balanced = config.class_weight == "balanced"
        weights = balanced_weights(data.class_counts) if balanced else None
        self.register_buffer("class_weights", weights, persistent=False)
        self.mixup, self.cutmix, self.mix_probability = (
            config.mixup,
            config.cutmix,
            config.mix_probability,
        )

    def step(self, batch: Batch) -> StepResult:
        mixed = self._mix(batch) if self.mixup or self.cutmix else None
        h = encode_views(
            self.encoder, batch.views if mixed is None else tuple(part.views for part in mixed)
        )
        scores = self.head(h)  # (V, B, C)
        labels = batch.labels.expand(len(h), -1)
        terms, weights = self._against(scores, labels)
        if mixed is not None:
            share = torch.cat([part.share for part in mixed])  # (V, B)
            others = labels[:, mixed[0].partner]
            of_others, their_weights = self._against(scores, others)
            terms = share * terms + (1 - share) * of_others
            weights = share * weights + (1 - share) * their_weights
            labels = torch.where(share >= 0.5, labels, others)  # of the larger part
        correct = (scores.detach().argmax(dim=-1) == labels).to(torch.float32).mean()
        loss = weighted_mean(terms, weights, self.group)
        logs = {
            "chance": scalar(self.chance, h),
            "floor": scalar(self.floor, h),
            "accuracy": correct,
        }
        return StepResult(loss, h, logs=logs)

    def _mix(self, batch: Batch) -> list[Mixed]:
        found = []
        for number, views in enumerate(batch.views):
            numbers = batch.uniform(f"mix {number}", NUMBERS * len(views)).T.reshape(
                NUMBERS, len(views), -1
            )
            found.append(
                mix(
                    views,
                    numbers,
                    mixup=self.mixup,
                    cutmix=self.cutmix,
                    probability=self.mix_probability,
                )
            )
        return found

    def _against(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return cross_entropy_terms(
            scores,
            labels,
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
        )
