"""Methods that fall ill, and their healthy twins: a test puts them into the table of methods."""

import math
from typing import final

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import info_nce, negative_cosine, swapped_prediction
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import mlp

WIDTH, PROTOTYPES = 64, 50


class _Projecting(Method):
    needs_labels = False
    default_views = "digits"
    fewest_views = 2
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.5, weight_decay=1e-4)
    paper = "none"

    def __init__(self, encoder: Encoder, config: MethodConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.projector = mlp(encoder.width, encoder.width, WIDTH, batch_norm=True)


class PredictorConfig(MethodConfig):
    """Views meet, with no negatives; a predictor and a stopped gradient keep them from one
    point.
    """

    predictor: bool = Field(True, description="without it nothing keeps them")


@final
class Siamese(_Projecting):
    Config = PredictorConfig

    def __init__(self, encoder: Encoder, config: PredictorConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.predictor = mlp(WIDTH, WIDTH, WIDTH, batch_norm=True) if config.predictor else None

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)
        z = self.projector(h)
        if self.predictor is None:
            loss = 1 - F.cosine_similarity(z[0], z[1], dim=-1).mean()
        else:
            loss = 1 + negative_cosine(self.predictor(z), z.detach())
        return StepResult(loss, h, z)


class PartnerConfig(MethodConfig):
    """A softmax over all rows whose right answer is the row itself, as a tutorial has it, or
    another image's view.
    """

    temperature: float = Field(0.2, gt=0, description="divides cosine similarity")
    partner: str = Field("itself", description="itself, or the next image's other view")


@final
class WrongPartner(_Projecting):
    Config = PartnerConfig

    def __init__(self, encoder: Encoder, config: PartnerConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.config = config

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)
        z = self.projector(h)
        rows = F.normalize(z.flatten(0, 1), dim=-1)
        if self.config.partner == "itself":
            loss = F.cross_entropy(rows @ rows.T / self.config.temperature, torch.arange(len(rows)))
        else:
            loss = info_nce(
                torch.stack([z[0], z[1].roll(1, 0)]), temperature=self.config.temperature
            )
        return StepResult(loss, h, z, {"chance": scalar(math.log(len(rows)), h)})


class AssigningConfig(MethodConfig):
    """Views predict each other's assignment to prototypes; an epsilon too large makes all
    assignments alike.
    """

    epsilon: float = Field(0.05, gt=0, description="of the balancing")


@final
class Assigning(_Projecting):
    Config = AssigningConfig

    def __init__(self, encoder: Encoder, config: AssigningConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.prototypes = nn.Linear(WIDTH, PROTOTYPES, bias=False)
        self.epsilon = config.epsilon

    def step(self, batch: Batch) -> StepResult:
        h = encode_views(self.encoder, batch.views)
        z = self.projector(h)
        scores = F.normalize(z, dim=-1) @ F.normalize(self.prototypes.weight, dim=-1).T
        loss = swapped_prediction(scores, epsilon=self.epsilon)
        logs = {
            "chance": scalar(math.log(PROTOTYPES), h),
            "prototypes": scalar(float(PROTOTYPES), h),
        }
        return StepResult(loss, h, z, logs)
