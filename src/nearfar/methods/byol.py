"""BYOL.

Both views pass both networks and the loss is the sum over the two directions (its mean over pairs,
times 2, for more views), as published. A network that maps everything to one point has the loss 0,
so no chance level is stated.

BatchNorm normalizes each view alone, in both networks, as the authors' byol_experiment.py has it
(`apply_once_fn` on one view, then on the other).

Deviations: SGD instead of LARS; target momentum from .99 (the paper's for 300 epochs or fewer)
instead of .996; the hidden width is four times the encoder's, at most the paper's 4,096. In a run
of 1,750 steps (CIFAR-10, Conv4, one seed) .95 has 51.2 % where .99 has 47.2 (linear probe).
"""

from collections.abc import Mapping
from typing import final

from pydantic import Field
from torch import Tensor

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import negative_cosine
from nearfar.methods.base import Method, OptimizerDefaults
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import mlp, projector
from nearfar.nn.target import TargetNetwork, rising_momentum


class BYOLConfig(MethodConfig):
    """BYOL: one view predicts what a slowly moving target network makes of the other view, without
    negatives.

    The predictor and the slow target keep the network from mapping all images to one point.
    """

    needs_projector = "byol's predictor answers in the width of a projection"

    momentum: float = Field(
        0.99,
        ge=0,
        le=1,
        description=(
            "momentum of the target network at the start of the run; it rises to 1 at the end; a"
            " run of few thousand steps learns more with .95"
        ),
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("hidden")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description=(
            "width of the hidden layers of projector and predictor (default: 4 times the"
            " encoder's width, at most 4096)"
        ),
    )
    projection_dim: int = Field(256, gt=0, description="width of projection and prediction")


@final
class BYOL(Method):
    Config = BYOLConfig
    needs_labels = False
    default_views = "byol"
    fewest_views = 2
    batch_norm_groups = "views"
    optimizer = OptimizerDefaults(
        "sgd", lr_per_256=0.5, weight_decay=1e-4, decay_norms_and_biases=False
    )
    paper = "Grill et al. 2020, arXiv:2006.07733"

    def __init__(self, encoder: Encoder, config: BYOLConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        hidden_dim = config.hidden_dim or min(4096, 4 * encoder.width)
        self.projector = projector(config, encoder.width, hidden_dim=hidden_dim)
        self.predictor = mlp(
            config.projection_dim, hidden_dim, config.projection_dim, batch_norm=True
        )
        self.target = TargetNetwork(
            encoder, self.projector, batch_norm_groups=self.batch_norm_groups
        )
        self.momentum = config.momentum

    def step(self, batch: Batch) -> StepResult:
        groups = self.batch_norm_groups
        h = encode_views(self.encoder, batch.views, batch_norm_groups=groups)  # (V, B, E)
        z = self.projector(h, batch_norm_groups=groups)  # (V, B, D)
        p = self.predictor(z, batch_norm_groups=groups)  # (V, B, D)
        loss = 4 + 4 * negative_cosine(p, self.target(batch.views), group=self.group)
        return StepResult(loss, h, z)

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        self.target.move(self, momentum=rising_momentum(self.momentum, progress))
