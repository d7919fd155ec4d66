"""Supervised contrastive learning.

The representation is normalized before the projector, as in the paper's section 3 and its ImageNet
code; its CIFAR code leaves that out. Without it a deep network can be stuck from its first steps
on, all projections equal: ResNet-18 on 1,372 photographs (8 epochs, rate .09) stayed at its chance
level, 5.541, and reaches 5.496 with it.

BatchNorm normalizes all views together, as SupContrast's main_supcon.py has it
(`torch.cat([images[0], images[1]])`), and google-research/supcon.

Deviations: the projector's hidden width is a setting; the paper's equals the encoder's width (the
default). Its hidden layer has BatchNorm by default with new weights, as SimCLR's has; theirs has
none, and recipes with their results state that. Without it all projections can become equal in the
first epochs, and some seeds need half of their epochs to get out (docs/benchmarks.md, "From new
weights"). The default rate is SupContrast's .5 at 1,024 images times the factor .1 / .07 by which
its loss is larger than ours.
"""

import math
from typing import Literal, final

from pydantic import Field
from torch.nn import functional as F

from nearfar.config import projectors
from nearfar.config.models import MethodConfig
from nearfar.core.errors import NothingToCompareError
from nearfar.core.ranks import gather, placement
from nearfar.core.types import Batch, BatchNeeds, DataFacts, StepResult
from nearfar.losses import count_anchors_without_positive, sup_con
from nearfar.losses.choices import Form
from nearfar.losses.floors import sup_con_floor
from nearfar.methods.base import Method, OptimizerDefaults, scalar
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import projector


class SupConConfig(MethodConfig):
    """SupCon: each view is drawn to all views of its class and pushed away from all other views in
    the batch.

    All images of the class are positives at once, so a class becomes compact instead of only being
    separated from others.
    """

    temperature: float = Field(
        0.1,
        gt=0,
        description=(
            "divides the cosine similarities; the lower, the more the hardest negatives count"
        ),
    )
    projector: projectors.Form = projectors.form("mlp")
    projector_layers: int = projectors.layers(2)
    projector_batch_norm: projectors.Norms = projectors.batch_norm(
        "hidden", from_given_weights="none"
    )
    hidden_dim: int | None = Field(
        None,
        gt=0,
        description="width of the hidden layer of an mlp projector (default: the encoder's width)",
    )
    projection_dim: int = Field(128, gt=0, description="width of the projection z")
    form: Literal["out", "in"] = Field(
        "out",
        description=(
            "where the mean over positives stands: out of the logarithm (L_out of the paper) or in"
            " it (L_in)"
        ),
    )
    positives_cap: int | None = Field(
        None,
        ge=0,
        description=(
            "most views of other images of its class that are an anchor's positives, beside the"
            " views of its own image; a multiple of the number of views (default: all)"
        ),
    )
    normalize_representation: bool = Field(
        True, description="true: representations are scaled to length 1 before the projector"
    )
    loss_scale: float = Field(
        1.0,
        gt=0,
        description=(
            "factor on the loss; set it to temperature / base_temperature for recipes that have"
            " both"
        ),
    )

    def misfits(self, images: int, batch_size: int, views: int) -> list[str]:
        cap = self.positives_cap
        if cap is None or (cap % views == 0 and (cap > 0 or views > 1)):
            return []
        wanted = (
            f"a multiple of {views} (the views of each image)"
            if views > 1
            else "at least 1 with one view of each image"
        )
        return [f"method.positives_cap: want {wanted}, got {cap}"]


@final
class SupCon(Method):
    Config = SupConConfig
    needs_labels = True
    positives_by_class = True
    default_views = "supcon"
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.18, weight_decay=1e-4)
    paper = "Khosla et al. 2020, arXiv:2004.11362"

    def __init__(self, encoder: Encoder, config: SupConConfig, data: DataFacts) -> None:
        super().__init__(encoder, config, data)
        self.projector = projector(config, encoder.width)
        self.temperature, self.loss_scale = config.temperature, config.loss_scale
        self.normalize_representation = config.normalize_representation
        self.form: Form = "outside" if config.form == "out" else "inside"
        self.positives_cap = config.positives_cap

    @classmethod
    def batch_needs(cls, _config: MethodConfig, views: int) -> BatchNeeds:
        return BatchNeeds(equals=views == 1)

    def step(self, batch: Batch) -> StepResult:
        """NothingToCompareError: one view, and no two samples of a class, so that no row has a
        positive.
        """
        h = encode_views(self.encoder, batch.views)  # (V, B, E)
        # (V, B, D)
        z = self.projector(F.normalize(h, dim=-1) if self.normalize_representation else h)
        # of all ranks
        labels = gather(
            batch.labels, placement(len(batch.labels), self.group, h.device), self.group
        )
        alone = count_anchors_without_positive(len(z), labels)
        if len(z) == 1 and int(alone) == len(labels):
            raise NothingToCompareError(
                f"labels: want two samples of a class with one view, got {len(labels)} classes"
            )
        loss = self.loss_scale * sup_con(
            z,
            batch.labels,
            temperature=self.temperature,
            form=self.form,
            positives_cap=self.positives_cap,
            group=self.group,
        )
        floor = sup_con_floor(
            labels,
            views=len(z),
            temperature=self.temperature,
            positives_cap=self.positives_cap,
        )
        logs = {
            "floor": self.loss_scale * floor,
            "chance": scalar(self.loss_scale * math.log(max(len(z) * len(labels) - 1, 1)), h),
            "anchors_without_positive": alone,
        }
        return StepResult(loss, h, z, logs)
