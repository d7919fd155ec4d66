"""VICReg.

The terms are weighed as in the authors' code; their equation has the variance term twice as large.

BatchNorm normalizes each view alone, in encoder and projector, as the authors' main_vicreg.py has
it (`self.projector(self.backbone(x))`, then of y).

Deviations: SGD instead of LARS; the projector is four times the encoder's width, at most 2,048
(solo-learn's for CIFAR-10), instead of 8,192.
"""

from typing import final

from pydantic import Field

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import variance_covariance
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class VICRegConfig(MethodConfig):
    """VICReg: views of an image agree, every dimension of the projection varies, and no two
    dimensions vary together.

    Each of the three is a term of the loss, so collapse is prevented without negatives or
    normalization.
    """

    needs_projector = "vicreg's loss is of a wide projection's dimensions"

    invariance_weight: float = Field(
        25.0,
        gt=0,
        description="weight of the first term: squared distance between views of an image",
    )
    variance_weight: float = Field(
        25.0,
        gt=0,
        description="weight of the second term: dimensions whose standard deviation is below 1",
    )
    covariance_weight: float = Field(
        1.0, gt=0, description="weight of the third term: squared covariances between dimensions"
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(3)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("hidden")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description=(
            "width of the hidden layers of the projector (default: 4 times the encoder's width,"
            " at most 2048)"
        ),
    )
    projection_dim: int | None = Field(
        None, gt=1, description="width of the projection z (default: the same as hidden_dim)"
    )


@final
class VICReg(Method):
    Config = VICRegConfig
    needs_labels = False
    default_views = "byol"
    fewest_views = 2
    batch_norm_groups = "views"
    optimizer = OptimizerDefaults(
        "sgd", lr_per_256=0.05, weight_decay=1e-4, decay_norms_and_biases=False
    )
    paper = "Bardes et al. 2022, arXiv:2105.04906"

    def __init__(self, encoder: Encoder, config: VICRegConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        hidden_dim = config.hidden_dim or min(2048, 4 * encoder.width)
        width = config.projection_dim or hidden_dim
        self.projector = projector(config, encoder.width, hidden_dim=hidden_dim, out_dim=width)
        self.invariance_weight = config.invariance_weight
        self.variance_weight, self.covariance_weight = (
            config.variance_weight,
            config.covariance_weight,
        )

    def step(self, batch: Batch) -> StepResult:
        groups = self.batch_norm_groups
        h = encode_views(self.encoder, batch.views, batch_norm_groups=groups)  # (V, B, E)
        z = self.projector(h, batch_norm_groups=groups)  # (V, B, D)
        loss = variance_covariance(
            z,
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            covariance_weight=self.covariance_weight,
            group=self.group,
        )
        return StepResult(loss, h, z, {"chance": scalar(0.99 * self.variance_weight, h)})
