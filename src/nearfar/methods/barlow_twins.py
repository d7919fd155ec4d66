"""Barlow Twins.

BatchNorm normalizes each view alone, in encoder and projector, as the authors' main.py has it
(`self.projector(self.backbone(y1))`, then of y2).

Deviations: SGD instead of LARS, and the loss times .1, as solo-learn has for CIFAR-10
(`loss_scale`); the projector is four times the encoder's width, at most solo-learn's 2,048, instead
of 8,192.
"""

from typing import final

from pydantic import Field

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import redundancy
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class BarlowTwinsConfig(MethodConfig):
    """Barlow Twins: each dimension of the projection has to correlate with itself in the other
    view, and with no other dimension.

    Where the correlations are the identity matrix, there is neither collapse nor repetition.
    """

    needs_projector = "barlow_twins' loss is of a wide projection's dimensions"

    off_diagonal_weight: float = Field(
        0.0051,
        gt=0,
        description="weight of the correlations between different dimensions, which should be 0",
    )
    loss_scale: float = Field(0.1, gt=0, description="factor on the loss")
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
class BarlowTwins(Method):
    Config = BarlowTwinsConfig
    needs_labels = False
    default_views = "byol"
    fewest_views = 2
    batch_norm_groups = "views"
    optimizer = OptimizerDefaults(
        "sgd", lr_per_256=0.1, weight_decay=1e-4, decay_norms_and_biases=False
    )
    paper = "Zbontar et al. 2021, arXiv:2103.03230"

    def __init__(self, encoder: Encoder, config: BarlowTwinsConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        hidden_dim = config.hidden_dim or min(2048, 4 * encoder.width)
        width = config.projection_dim or hidden_dim
        self.projector = projector(config, encoder.width, hidden_dim=hidden_dim, out_dim=width)
        self.weight, self.scale = config.off_diagonal_weight, config.loss_scale

    def step(self, batch: Batch) -> StepResult:
        groups = self.batch_norm_groups
        h = encode_views(self.encoder, batch.views, batch_norm_groups=groups)  # (V, B, E)
        z = self.projector(h, batch_norm_groups=groups)  # (V, B, D)
        loss = self.scale * redundancy(z, off_diagonal_weight=self.weight, group=self.group)
        return StepResult(loss, h, z, {"chance": scalar(self.scale * z.shape[2], h)})
