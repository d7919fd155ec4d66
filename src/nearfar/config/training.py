"""The sections of a configuration that say how a run learns: optimizer, schedule, training."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from nearfar.config.section import Section

OptimizerName = Literal["sgd", "adamw", "adam", "lars", "rmsprop"]
DecayName = Literal["cosine", "steps", "constant"]
MAX_RATE = 1e30  # a float32, and what Adam makes of it in its first step too


class OptimizerConfig(Section):
    name: OptimizerName | None = Field(
        None,
        description=(
            "the optimizer: sgd, adamw, adam, lars or rmsprop (default: the method's; adamw from"
            " given weights)"
        ),
    )
    lr: float | None = Field(
        None,
        gt=0,
        le=MAX_RATE,
        description=(
            "peak learning rate, used as typed and not scaled by batch size (default: the"
            " method's, scaled by batch size; from given weights: 0.001, 0.0006 with"
            " encoder.frozen_batch_norm, and for another optimizer there: 0.1 times the usual)"
        ),
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        description=(
            "strength of weight decay (default: the method's; 0.01 with adamw from given weights)"
        ),
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="momentum of sgd, lars and rmsprop; beta1 of adam and adamw"
    )
    nesterov: bool | None = Field(
        None,
        description=(
            "SGD: Nesterov momentum, which looks a step ahead; false: classical momentum, as in"
            " torch where nothing is said (default: true); of a classifier stage by sgd, too"
        ),
    )
    decay_norms_and_biases: bool | None = Field(
        None,
        description=(
            "true: weight decay also acts on biases and normalization layers (default: the"
            " method's; lars: false)"
        ),
    )
    trust_coefficient: float | None = Field(
        None,
        gt=0,
        description=(
            "LARS: factor on the ratio of weight norm to gradient norm, which sets each layer's"
            " rate (default: 0.001)"
        ),
    )
    trust_ratio: Literal["norm_of_sum", "sum_of_norms"] | None = Field(
        None,
        description=(
            "LARS: divisor of the weight norm: norm_of_sum (norm of gradient + decay * weights)"
            " or sum_of_norms (norm of gradient + decay * norm of weights) (default: norm_of_sum)"
        ),
    )
    trust_clip: bool | None = Field(
        None, description="LARS: never use more than optimizer.lr itself (default: false)"
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        description=(
            "RMSprop: small number added inside the square root, against division by zero"
            " (default: 0.001)"
        ),
    )


class ScheduleConfig(Section):
    warmup_epochs: float | None = Field(
        None,
        ge=0,
        description=(
            "epochs in which the learning rate rises linearly to its peak (default: a tenth of"
            " train.epochs, three tenths from given weights with encoder.frozen_batch_norm, at most"
            " 10)"
        ),
    )
    decay: DecayName | None = Field(
        None,
        description=(
            "course of the learning rate after the warm-up: cosine, steps or constant (default:"
            " the method's; constant for relational, cosine for all others)"
        ),
    )
    floor: float | None = Field(
        None,
        ge=0,
        lt=1,
        description=(
            "decay=cosine: learning rate at the end, as a fraction of the peak (default: 0.0)"
        ),
    )
    milestones: tuple[float, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        description=(
            "decay=steps: when the rate drops, as fractions of the run (default: [0.6,0.75,0.9])"
        ),
    )
    factor: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay=steps: factor by which the rate drops at each milestone (default: 0.2)",
    )


class TrainConfig(Section):
    epochs: int = Field(
        100,
        ge=1,
        description="number of passes over the training images (from given weights 10)",
    )
    batch_size: int | None = Field(
        None,
        ge=2,
        description=(
            "images per step, over all devices together (default: a power of two up to 256 that"
            " leaves at least 8 steps per epoch, and 16 with batches from 32 on for new weights on"
            " fewer than 10,000 images of more than 40 px; from given weights up to 64, and 32 for"
            " cross_entropy and joint)"
        ),
    )
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description=(
            "largest number of views that pass through the encoder at once; set it if memory runs"
            " out: less memory, more time (unset: all views of a batch)"
        ),
    )
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        description=(
            "training steps per epoch (default: number of training images / train.batch_size)"
        ),
    )
    precision: Literal["auto", "float32", "bf16", "measure"] = Field(
        "auto",
        description=(
            "arithmetic of the encoder in training: float32, bf16, auto (bf16 if the hardware"
            " supports it and the encoder's layers gain by it, else float32), or measure (what is"
            " faster in a few steps before training)"
        ),
    )
    gradient_clip: float | None = Field(
        None,
        gt=0,
        description=(
            "largest norm of the whole gradient; a longer one is scaled down to it (unset: no"
            " clipping, 5 from given weights)"
        ),
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description=(
            "number that all randomness of the run comes from; the same seed repeats a run on the"
            " same machine"
        ),
    )


# What one optimizer or decay alone reads: (section, key, its value) with the other keys and what
# they are by default.
OWN_KEYS: Mapping[tuple[str, str, str], Mapping[str, Any]] = MappingProxyType({
    ("optimizer", "name", "sgd"): {"nesterov": True},
    ("optimizer", "name", "lars"): {
        "trust_coefficient": 0.001, "trust_ratio": "norm_of_sum", "trust_clip": False,
    },
    ("optimizer", "name", "rmsprop"): {"epsilon": 0.001},
    ("schedule", "decay", "cosine"): {"floor": 0.0},
    # SupContrast's linear stage
    ("schedule", "decay", "steps"): {"milestones": (0.6, 0.75, 0.9), "factor": 0.2},
})  # fmt: skip
