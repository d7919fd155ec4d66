"""N-pair losses: the form with soft labels that tensorflow-addons and Keras call so, and the
original.

form=soft_labels works with one view, as in the Keras examples, or with several; unlike in `supcon`,
a view counts among its own positives. form=pairs is Sohn's: a view has to find its partner, which
is another view of its image, among the views of other classes; with more than two views, the loss
is the mean over the partners of the first view.

Deviations: two views by default; Sohn's partners are two images of a class; Sohn's projections are
kept short by a weight, here `length_weight`, whose usual value we do not know. Optimizer and
learning rate are nearfar's own.
"""

import math
from typing import Literal, final

import torch
from pydantic import Field, model_validator

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.ranks import gather, placement
from nearfar.core.types import Batch, BatchNeeds, DataFacts, StepResult
from nearfar.losses import n_pairs
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class NPairsConfig(MethodConfig):
    """N-pair loss: an image has to find its class among all others in the batch, by a softmax over
    similarities.

    A positive is compared with all negatives of the batch at once, where the triplet loss takes
    one.
    """

    form: Literal["soft_labels", "pairs"] = Field(
        "soft_labels",
        description=(
            "soft_labels (all images of the class are positives, as in tensorflow-addons) or"
            " pairs (one positive each, as in Sohn 2016)"
        ),
    )
    temperature: float | None = Field(
        None,
        gt=0,
        description=(
            "divides the similarities (default: 0.1 for form=soft_labels, 1 for form=pairs)"
        ),
    )
    length_weight: float = Field(
        0.0,
        ge=0,
        description=(
            "form=pairs: weight of the mean squared length of projections in the loss, which"
            " keeps them short"
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

    @model_validator(mode="after")
    def _lengths_count_in_pairs_only(self) -> "NPairsConfig":
        if self.length_weight and self.form == "soft_labels":
            raise ValueError(
                f'length_weight: want 0 with form="soft_labels", got {self.length_weight}'
            )
        return self


@final
class NPairs(Method):
    Config = NPairsConfig
    needs_labels = True
    positives_by_class = True
    default_views = "supcon"
    optimizer = OptimizerDefaults("adam", lr_per_256=2e-3, weight_decay=0.0, scaling="sqrt")
    paper = "Sohn 2016, NeurIPS"

    def __init__(self, encoder: Encoder, config: NPairsConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.projector = projector(config, encoder.width)
        self.form, self.length_weight = config.form, config.length_weight
        self.temperature = config.temperature or (0.1 if config.form == "soft_labels" else 1.0)

    @classmethod
    def views_needed(cls, config: MethodConfig | None) -> int:
        return (
            2 if isinstance(config, NPairsConfig) and config.form == "pairs" else cls.fewest_views
        )

    @classmethod
    def batch_needs(cls, config: MethodConfig, _views: int) -> BatchNeeds:
        return BatchNeeds(others=isinstance(config, NPairsConfig) and config.form == "pairs")

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        z = self.projector(h)  # (V, B, D)
        # of all ranks
        labels = gather(
            batch.labels, placement(len(batch.labels), self.group, h.device), self.group
        )
        if self.form == "soft_labels":
            rows, chance = [z], scalar(math.log(len(z) * len(labels)), h)
        else:
            rows = [torch.stack([z[0], partner]) for partner in z[1:]]
            others = ((labels[:, None] != labels) | (labels < 0)).fill_diagonal_(False).sum(dim=1)
            chance = others.double().log1p().mean()
        losses = [
            n_pairs(
                pairs,
                batch.labels,
                form=self.form,
                temperature=self.temperature,
                length_weight=self.length_weight,
                group=self.group,
            )
            for pairs in rows
        ]
        return StepResult(torch.stack(losses).mean(), h, z, {"chance": chance})
