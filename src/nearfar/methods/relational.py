"""Self-supervised relational reasoning: which pairs of views are of one image?

Positives are all K(K - 1)/2 pairs of an image's K views; negatives are the same pairs with the
second view taken from another image. Defaults are those of the authors' code: focal loss (their
short script has plain binary cross-entropy), concatenation, Adam at 1e-3 with 64 images per step,
and a constant learning rate.

Deviations: K = 4 views instead of 32 (as in their notebook for machines without a GPU); half the
color jitter in views of up to 40 px; the rate grows with the square root of the batch size; a tenth
of the run is warm-up; the head's first layer has no bias, because BatchNorm would remove it.

Measured on CIFAR-10 (16,000 images, Conv4, 10 epochs, one seed, the full jitter), kNN accuracy on
validation: 42.3 % (plain BCE 43.6 %); with a rate that falls to zero, as other methods have it,
40.3 % (40.5 %).
"""

import math
from typing import Literal, final

import torch
from pydantic import Field

from nearfar.config.models import MethodConfig
from nearfar.core.errors import NothingToCompareError
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses import relation
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.relation import RelationHead

FOCUS, POSITIVE_WEIGHT = 2.0, 0.5


class RelationalConfig(MethodConfig):
    """Relational reasoning: a small network learns to tell pairs of views of one image from pairs
    of two images.

    The encoder keeps what views of one image share and two images do not; how to compare them is
    learned as well.
    """

    aggregation: Literal["cat", "sum", "mean", "max"] = Field(
        "cat",
        description=(
            "how the two representations of a pair are combined: cat (side by side), sum, mean or"
            " max"
        ),
    )
    loss: Literal["focal", "bce"] = Field(
        "focal",
        description=(
            "loss on each pair: focal (focal loss with gamma 2 and weight 0.5) or bce (plain"
            " binary cross-entropy)"
        ),
    )
    hidden_dim: int = Field(
        256, gt=0, description="width of the hidden layer of the network that compares pairs"
    )
    block_size: int | None = Field(
        None,
        ge=2,
        description=(
            "smallest number of images per block; negatives and BatchNorm stay within a block"
            " (default: all images of a batch on a device)"
        ),
    )


@final
class Relational(Method):
    Config = RelationalConfig
    needs_labels = False
    default_views = "relational"
    default_count = 4
    fewest_views = 2
    optimizer = OptimizerDefaults(
        "adam", lr_per_256=2e-3, weight_decay=0.0, scaling="sqrt", decay="constant"
    )
    paper = "Patacchiola & Storkey 2020, arXiv:2006.05849"

    def __init__(self, encoder: Encoder, config: RelationalConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.relation = RelationHead(
            encoder.width, config.hidden_dim, aggregation=config.aggregation
        )
        self.form, self.block_size = config.loss, config.block_size
        self.chance = math.log(2) * (POSITIVE_WEIGHT * 0.5**FOCUS if config.loss == "focal" else 1)

    def step(self, batch: Batch) -> StepResult:
        """NothingToCompareError: a single image, so that no pair of two exists."""
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        samples = h.shape[1]
        if samples < 2:
            raise NothingToCompareError("want at least two images, got one: no pair of two exists")
        blocks = max(1, samples // (self.block_size or samples))
        # (2, P, B)
        scores = torch.cat([self.relation(part) for part in h.tensor_split(blocks, dim=1)], dim=2)
        targets = torch.tensor([1.0, 0.0], device=h.device)[:, None, None].expand_as(scores)
        loss = relation(
            scores,
            targets,
            form=self.form,
            focus=FOCUS,
            positive_weight=POSITIVE_WEIGHT,
            group=self.group,
        )
        together, apart = ((scores.detach() > 0) == (targets > 0)).float().mean(dim=(1, 2))
        logs = {
            "chance": scalar(self.chance, h),
            "accuracy_positives": together,
            "accuracy_negatives": apart,
        }
        return StepResult(loss, h, logs=logs)
