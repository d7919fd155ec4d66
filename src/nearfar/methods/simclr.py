"""SimCLR.

Deviations: SGD instead of LARS, temperature .2 instead of .5 or .1 (which suits batches of a few hundred), and
the blur of the view policy comes with the fast view kernels.
"""

import math
from typing import final

from pydantic import Field

from nearfar.config.models import MethodConfig
from nearfar.core.ranks import shares
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import info_nce
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import mlp


class SimCLRConfig(MethodConfig):
    """SimCLR: two views of an image find each other among all others."""

    temperature: float = Field(0.2, gt=0, description="divides cosine similarity; lower means harder negatives")
    hidden_dim: int | None = Field(None, gt=0, description="width inside the projector (default: the encoder's)")
    projection_dim: int = Field(128, gt=0, description="width D of the projection z")


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
        hidden_dim = config.hidden_dim or encoder.width
        self.projector = mlp(encoder.width, hidden_dim, config.projection_dim, batch_norm=True)
        self.temperature = config.temperature

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        z = self.projector(h)  # (V, B, D)
        loss = info_nce(z, temperature=self.temperature, group=self.group)
        samples = shares(z.shape[1], self.group, z.device).total
        return StepResult(loss, h, z, {"chance": scalar(math.log(len(z) * samples - 1), h)})
