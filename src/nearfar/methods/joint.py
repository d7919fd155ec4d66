"""Cross-entropy and supervised contrastive learning in one loss, (1 - λ) times the one and λ times
the other (equation 4 of the paper).

The classifier reads the representation h of every view, the contrastive term its projections; the
classifier is measured as `head.top1`, as cross_entropy's is.

Deviations: the paper's contrastive term has no projector and takes each sentence once; here it is
`supcon`'s, projector and normalized representation included, on two views, so that every image has
a positive. Its best runs mostly had λ .9 and temperature .3 (texts, 20 to 1,000 labels); .5 and .1
did best here from given weights on photographs (five kinds of flowers, 1,373 images, two seeds,
linear probe on validation: 90.4 and 89.5 %; cross_entropy 88.0 and 89.2, supcon 88.6 and 89.2).
"""

import math
from typing import final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.config import projectors, supervised
from nearfar.config.models import MethodConfig
from nearfar.core.ranks import gather, placement
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import sup_con
from nearfar.losses.classification import balanced_weights, cross_entropy_terms
from nearfar.losses.floors import smoothed_entropy, sup_con_floor
from nearfar.losses.rows import weighted_mean
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class JointConfig(MethodConfig):
    """Joint: a classifier and a supervised contrastive term are trained together, on one encoder.

    The classifier finds the boundaries, the contrastive term makes each class compact, and one run
    gives both an encoder and a classifier.
    """

    lam: float = Field(
        0.5,
        ge=0,
        lt=1,
        description=(
            "lambda: weight of the contrastive term; the cross-entropy has 1 - lambda; 0 is"
            " cross-entropy alone (for the contrastive term alone there is supcon)"
        ),
    )
    temperature: float = Field(
        0.1,
        gt=0,
        description=(
            "contrastive term: divides the cosine similarities; the lower, the more the hardest"
            " negatives count"
        ),
    )
    label_smoothing: float = supervised.label_smoothing()
    class_weight: supervised.ClassWeight = supervised.class_weight()
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("none")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description="width of the hidden layer of an mlp projector (default: the encoder's width)",
    )
    projection_dim: int = Field(128, gt=0, description="width of the projection z")
    normalize_representation: bool = Field(
        True, description="true: representations are scaled to length 1 before the projector"
    )


@final
class Joint(Method):
    Config = JointConfig
    needs_labels = True
    positives_by_class = True
    takes_unlabeled = False
    default_views = "basic"
    fewest_views = 2
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=1e-4)
    paper = "Gunel et al. 2020, arXiv:2011.01403"
    head: nn.Linear
    class_weights: Tensor | None

    def __init__(self, encoder: Encoder, config: JointConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.head = nn.Linear(encoder.width, data.n_classes)
        self.projector = projector(config, encoder.width)
        self.lam, self.temperature = config.lam, config.temperature
        self.normalize_representation = config.normalize_representation
        self.label_smoothing = config.label_smoothing
        self.floor = smoothed_entropy(data.n_classes, config.label_smoothing)
        balanced = config.class_weight == "balanced"
        weights = balanced_weights(data.class_counts) if balanced else None
        self.register_buffer("class_weights", weights, persistent=False)

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        scores = self.head(h)  # (V, B, C)
        # (V, B, D)
        z = self.projector(F.normalize(h, dim=-1) if self.normalize_representation else h)
        labels = batch.labels.expand(len(h), -1)
        terms = cross_entropy_terms(
            scores,
            labels,
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
        )
        classified = weighted_mean(*terms, self.group)
        contrasted = sup_con(z, batch.labels, temperature=self.temperature, group=self.group)
        whole = gather(batch.labels, placement(len(batch.labels), self.group, h.device), self.group)
        chance = (1 - self.lam) * math.log(scores.shape[-1]) + self.lam * math.log(
            max(len(z) * len(whole) - 1, 1)
        )
        least = sup_con_floor(whole, views=len(z), temperature=self.temperature)
        logs = {
            "chance": scalar(chance, h),
            "floor": (1 - self.lam) * self.floor + self.lam * least,
            "cross_entropy": classified.detach(),
            "sup_con": contrasted.detach(),
            "accuracy": (scores.detach().argmax(dim=-1) == labels).to(torch.float32).mean(),
        }
        return StepResult((1 - self.lam) * classified + self.lam * contrasted, h, z, logs)
