"""The section of a configuration that says which encoder, from which weights, and what of it
learns.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from nearfar.config.problems import nearest
from nearfar.config.section import Section

PerChannel = tuple[float, float, float]
OWN_NETWORKS = ("conv4", "resnet8", "resnet32", "resnet56")  # all others are timm's

# of the keys that say how a timm network is to differ from what its name says, timm's own names
ARGUMENTS: Mapping[str, str] = MappingProxyType(
    {"outputs": "num_classes", "patch_size": "patch_size", "drop_path": "drop_path_rate"}
)


def _number_of_stages(value: object) -> object:
    """ "stages 0-2" as 3."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    found = re.fullmatch(r"stages? 0(?:-(\d+))?", value.strip()) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("stages", 'a number of stages, or "stages 0-2", which begin at 0')
    return int(found[1] or 0) + 1


class EncoderConfig(Section):
    name: str | None = Field(
        None,
        description=(
            "the network: conv4, resnet8, resnet32, resnet56, or a timm network that nearfar"
            " encoders lists (default: conv4 for views up to 16 px, else resnet18)"
        ),
    )
    pretrained: bool = Field(
        False,
        description=(
            "true: start from the weights that timm publishes for this network (downloaded from"
            " its model hub)"
        ),
    )
    weights: str | None = Field(
        None,
        description=(
            "weights to start from: a run's folder; a folder with config.json and"
            " model.safetensors (timm's local-dir); hf-hub:NAME; a .safetensors file, or a PyTorch"
            " file that torch.load(weights_only=True) reads, such as SupContrast, MoCo, SwAV, DINO,"
            " SimSiam, VICReg, lightly and solo-learn write it"
        ),
    )
    stem: Literal["auto", "own", "small"] = Field(
        "auto",
        description=(
            "first layers of the network: own (as published), small (3x3 convolution with stride"
            " 1, no max-pooling; of a vision transformer smaller patches), auto (small for views up"
            " to 40 px, else own)"
        ),
    )
    outputs: int | None = Field(
        None,
        ge=1,
        description=(
            "number of outputs of the network's last linear layer, which are then the"
            " representation: 1000 for timm's networks as published (unset: no such layer, the"
            " pooled features are the representation)"
        ),
    )
    patch_size: int | None = Field(
        None,
        ge=1,
        description=(
            "side of the patches that a vision transformer cuts a view into, in pixels (default:"
            " its own; with a small stem the largest power of two that leaves 7 x 7 patches)"
        ),
    )
    drop_path: float | None = Field(
        None,
        ge=0,
        lt=1,
        description=(
            "stochastic depth: how often a residual branch of the last block is left out of a"
            " training step, as a fraction, earlier blocks less (default: the network's own, 0 for"
            " most)"
        ),
    )
    gradient_checkpointing: bool | None = Field(
        None,
        description=(
            "true: the activations of the blocks are computed again in the backward pass, which"
            " takes less memory and about a third more time; for networks without BatchNorm, such"
            " as transformers, or with a frozen one (others: train.micro_batch_size)"
        ),
    )
    frozen: Annotated[int | None, BeforeValidator(_number_of_stages)] = Field(
        None,
        ge=1,
        description=(
            "the first stages of the network that keep their weights and their BatchNorm"
            ' statistics, as a number or as "stages 0-2", which is 3; stage 0 is the stem (default:'
            " all learn)"
        ),
    )
    frozen_batch_norm: bool | None = Field(
        None,
        description=(
            "true: BatchNorm normalizes by its running statistics in training too and keeps them;"
            " its scale and shift learn (default: true from given weights for views smaller than"
            " 0.5 of the network's own size, but for max_margin; else false)"
        ),
    )
    mean: PerChannel | None = Field(
        None,
        strict=False,
        description=(
            "mean of each color channel, for normalizing images; in [0, 1], typed as"
            " [0.5,0.5,0.5] (default: measured on the training images; with given weights as"
            " published for that network)"
        ),
    )
    std: PerChannel | None = Field(
        None,
        strict=False,
        description=(
            "standard deviation of each color channel, for normalizing images; typed as"
            " [0.25,0.25,0.25] (default: as for encoder.mean)"
        ),
    )

    @property
    def given(self) -> bool:
        """Whether it starts from weights that were given."""
        return self.pretrained or self.weights is not None

    @property
    def arguments(self) -> dict[str, Any]:
        """How a timm network is to differ from what its name says, as timm calls it."""
        asked = {timm: getattr(self, key) for key, timm in ARGUMENTS.items()}
        return {name: value for name, value in asked.items() if value is not None}

    def problems(self, known: Callable[[], Sequence[str]]) -> list[str]:
        """What its keys must agree on, and a name that is not `known`."""
        problems, name = [], self.name
        if (
            name is not None
            and name not in OWN_NETWORKS
            and name.partition(".")[0] not in (names := known())
        ):
            problems.append(
                f'encoder.name: no encoder "{name}"{nearest(name, names)}; `nearfar encoders` lists'
                " them"
            )
        if self.pretrained and self.weights is not None:
            problems.append("encoder.weights: want either weights or pretrained, got both")
        if self.pretrained and name in (None, *OWN_NETWORKS):
            problems.append(
                "encoder.pretrained: want the name of a timm encoder beside it, got none with"
                " weights"
            )
        if name in OWN_NETWORKS:
            problems += [
                f"encoder.{key}: is for timm's networks, and {name} is none; leave it out"
                for key in (*ARGUMENTS, "gradient_checkpointing")
                if getattr(self, key) is not None
            ]
        if (self.mean is None) != (self.std is None):
            problems.append("encoder.mean: want mean and std together, got one")
        if self.mean is not None and not (min(self.mean) >= 0 and max(self.mean) <= 1):
            problems.append(f"encoder.mean: want values in [0, 1], got {list(self.mean)}")
        if self.std is not None and min(self.std) <= 0:
            problems.append(f"encoder.std: want more than 0 in each channel, got {list(self.std)}")
        return problems
