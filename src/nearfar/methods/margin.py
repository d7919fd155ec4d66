"""The contrastive loss on pairs: views and images of a class come together, others are pushed apart
up to a margin.

Deviations: projections have length 1, so that the margin has a scale; labels say which pairs belong
together; the mean is over all pairs of a batch instead of over a random choice of pairs. Optimizer
and learning rate are nearfar's own.
"""

from typing import final

from pydantic import Field

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.ranks import gather, placement
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import margin_contrastive
from nearfar.methods.base import Method, OptimizerDefaults
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class MarginConfig(MethodConfig):
    """Contrastive loss on pairs: images of one class come together, others move apart up to a
    margin.

    Distances themselves are trained, so that the nearest neighbors of an image are of its class.
    """

    margin: float = Field(
        1.0,
        gt=0,
        le=2,
        description=(
            "distance from which a negative costs nothing; projections have length 1, so"
            " distances are at most 2"
        ),
    )
    projector: projectors.Form = projectors.form("linear")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("none")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description="width of the hidden layer of an mlp projector (default: the encoder's width)",
    )
    projection_dim: int = Field(128, gt=0, description="width of the projection z")


@final
class Margin(Method):
    Config = MarginConfig
    needs_labels = True
    positives_by_class = True
    default_views = "supcon"
    optimizer = OptimizerDefaults("adam", lr_per_256=2e-3, weight_decay=0.0, scaling="sqrt")
    paper = "Hadsell, Chopra & LeCun 2006, CVPR"

    def __init__(self, encoder: Encoder, config: MarginConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.projector = projector(config, encoder.width)
        self.margin = config.margin

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        z = self.projector(h)  # (V, B, D)
        loss = margin_contrastive(z, batch.labels, margin=self.margin, group=self.group)
        # of all ranks
        labels = gather(
            batch.labels, placement(len(batch.labels), self.group, h.device), self.group
        )
        # ordered pairs of samples
        others = ((labels[:, None] != labels) | (labels < 0)).fill_diagonal_(False).sum()
        rows = len(z) * len(labels)
        share = others * len(z) ** 2 / (rows * (rows - 1))
        return StepResult(loss, h, z, {"chance": share * self.margin**2 / 2})
