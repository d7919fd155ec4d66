"""SimSiam.

A network that maps everything to one point has the loss -1, the best, so no chance level is stated;
what keeps it from there is the stopped gradient and the predictor, whose rate stays at its peak, as
published.

BatchNorm normalizes each view alone, in the encoder and both heads, as the paper's algorithm 1 and
the authors' simsiam/builder.py have it (`self.encoder(x1)`, `self.encoder(x2)`).

Deviations: the rate .5 for 256 images, as solo-learn has for CIFAR-10, instead of .05; heads of
four times the encoder's width, at most the paper's 2,048, the predictor's inside a quarter of the
projection; Nesterov momentum.
"""

from typing import final

from pydantic import Field

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import negative_cosine
from nearfar.methods.base import Method, OptimizerDefaults
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import mlp, projector


class SimSiamConfig(MethodConfig):
    """SimSiam: one view predicts the projection of the other view, through which no gradient flows.

    The stopped gradient and the predictor prevent collapse without negatives, target network or
    queue.
    """

    needs_projector = "simsiam's predictor answers in the width of a projection"

    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(3)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("all")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description=(
            "width of the projector's hidden layers (default: the same as projection_dim)"
        ),
    )
    projection_dim: int | None = Field(
        None,
        gt=3,
        description=(
            "width D of the projection z (default: 4 times the encoder's width, at most 2048)"
        ),
    )
    predictor_dim: int | None = Field(
        None,
        gt=0,
        description=(
            "width of the predictor's hidden layer (default: a quarter of the projection's width)"
        ),
    )


@final
class SimSiam(Method):
    Config = SimSiamConfig
    needs_labels = False
    default_views = "moco_v2"
    fewest_views = 2
    batch_norm_groups = "views"
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.5, weight_decay=1e-4)
    constant_rate = ("predictor",)
    paper = "Chen & He 2021, arXiv:2011.10566"

    def __init__(self, encoder: Encoder, config: SimSiamConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        width = config.projection_dim or min(2048, 4 * encoder.width)
        self.projector = projector(
            config, encoder.width, hidden_dim=config.hidden_dim or width, out_dim=width
        )
        self.predictor = mlp(width, config.predictor_dim or width // 4, width, batch_norm=True)

    def step(self, batch: Batch) -> StepResult:
        groups = self.batch_norm_groups
        h = encode_views(self.encoder, batch.views, batch_norm_groups=groups)  # (V, B, E)
        z = self.projector(h, batch_norm_groups=groups)  # (V, B, D)
        p = self.predictor(z, batch_norm_groups=groups)  # (V, B, D)
        return StepResult(negative_cosine(p, z, group=self.group), h, z)
