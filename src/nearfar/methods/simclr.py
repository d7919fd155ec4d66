"""SimCLR.

BatchNorm normalizes all views together, as the authors' code has it (model.py concatenates the two
views before the network; statistics are those of all devices there).

Deviations: SGD instead of LARS, temperature .2 instead of .5 or .1 (which suits batches of a few
hundred). The loss is the paper's mean over all views of the batch; the authors' code adds the means
of the first views and of the second, twice as much: `loss_scale=2` has it. With SGD twice the loss
is twice the learning rate and half the weight decay; LARS takes the factor out of matrices, but for
half the weight decay there too.
"""

import math
from typing import final

from pydantic import Field
from torch.nn import functional as F

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.ranks import placement
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import info_nce
from nearfar.losses.floors import info_nce_floor
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class SimCLRConfig(MethodConfig):
    """SimCLR: each view has to find the other view of its image among all views in the batch.

    All other images push it away, so the encoder keeps what tells images apart and drops what crops
    and color changes alter.
    """

    temperature: float = Field(
        0.2,
        gt=0,
        description=(
            "divides the cosine similarities; the lower, the more the hardest negatives count"
        ),
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm("hidden")
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description="width of the hidden layer of an mlp projector (default: the encoder's width)",
    )
    projection_dim: int = Field(128, gt=0, description="width of the projection z")
    normalize_representation: bool = Field(
        False, description="true: representations are scaled to length 1 before the projector"
    )
    loss_scale: float = Field(
        1.0,
        gt=0,
        description=(
            "factor on the loss; set it to temperature / base_temperature for recipes that have"
            " both"
        ),
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
        self.projector = projector(config, encoder.width)
        self.temperature, self.loss_scale = config.temperature, config.loss_scale
        self.normalize_representation = config.normalize_representation

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        # (V, B, D)
        z = self.projector(F.normalize(h, dim=-1) if self.normalize_representation else h)
        loss = self.loss_scale * info_nce(z, temperature=self.temperature, group=self.group)
        samples = placement(z.shape[1], self.group, z.device).total
        chance = self.loss_scale * math.log(len(z) * samples - 1)
        floor = self.loss_scale * info_nce_floor(
            len(z) - 1, len(z) * (samples - 1), samples, temperature=self.temperature
        )
        return StepResult(loss, h, z, {"chance": scalar(chance, h), "floor": scalar(floor, h)})
