"""SimCLR.

Deviations: SGD instead of LARS, temperature .2 instead of .5 or .1 (which suits batches of a few
hundred).
"""

import math
from typing import Literal, final

from pydantic import Field
from torch.nn import functional as F

from nearfar.config.models import MethodConfig
from nearfar.core.ranks import shares
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import info_nce
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class SimCLRConfig(MethodConfig):
    """SimCLR: two views of an image find each other among all others.

    All others push it away, so that the encoder keeps what tells images apart and loses what crops
    and colors change.
    """

    temperature: float = Field(
        0.2, gt=0, description="divides cosine similarity; lower means harder negatives"
    )
    projector: Literal["linear", "mlp"] = Field(
        "mlp", description="from the representation to the projection"
    )
    hidden_dim: int | None = Field(
        None, gt=0, description="width inside an mlp projector (default: the encoder's)"
    )
    projection_dim: int = Field(128, gt=0, description="width D of the projection z")
    normalize_representation: bool = Field(
        False, description="the projector sees representations of length 1"
    )
    loss_scale: float = Field(
        1.0, gt=0, description="factor on the loss: a recipe's temperature / base temperature"
    )


@final
class SimCLR(Method):
    Config = SimCLRConfig
    needs_labels = False
    default_views = "simclr"
    fewest_views = 2
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.5, weight_decay=1e-4)
    paper = "Chen et al. 2020, arXiv:2002.05709"

    def __init__(self, encoder: Encoder, config: SimCLRConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.projector = projector(
            config.projector,
            encoder.width,
            config.hidden_dim,
            config.projection_dim,
            batch_norm=True,
        )
        self.temperature, self.loss_scale = config.temperature, config.loss_scale
        self.normalize_representation = config.normalize_representation

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        # (V, B, D)
        z = self.projector(F.normalize(h, dim=-1) if self.normalize_representation else h)
        loss = self.loss_scale * info_nce(z, temperature=self.temperature, group=self.group)
        samples = shares(z.shape[1], self.group, z.device).total
        chance = self.loss_scale * math.log(len(z) * samples - 1)
        return StepResult(loss, h, z, {"chance": scalar(chance, h)})
