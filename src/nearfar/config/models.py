"""The sections of a run's configuration. `None` means "chosen by nearfar, written into
run.toml".
"""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny
from pydantic_core import PydanticCustomError

Unit = tuple[float, float, float]
OptimizerName = Literal["sgd", "adamw", "adam", "lars", "rmsprop"]
MAX_RATE = 1e30  # a float32, and what Adam makes of it in its first step too
AS_EVALUATED = "evaluation"  # of classifier.policy


class Section(BaseModel):
    """Frozen; unknown keys, values of another type (`epochs = true`) and infinities are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MethodConfig(Section):
    """Base of every method's own fields; its docstring's first paragraph is the summary."""

    @classmethod
    def summary(cls) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())

    def misfits(self, _images: int, _batch_size: int) -> list[str]:
        """What cannot be with so many training images and such batches: the field, what was wanted,
        what came.
        """
        return []


class DataConfig(Section):
    source: str = Field(description="a name, a folder, an archive")
    size: int | None = Field(
        None, ge=4, le=4096, description="side of the views, px (default 64, or less)"
    )
    eval_crop: float = Field(1.0, gt=0, le=1, description="fraction of the largest centered square")
    balanced: bool = Field(False, description="each class equally likely in every batch")
    strict: bool = Field(False, description="no unreadable file is allowed")


def _name_or_table(value: object) -> object:
    if value is None or isinstance(value, str | dict):
        return value
    # the union would name its members, not the field
    raise PydanticCustomError("name_or_table", "a name or a table")


class ViewsConfig(Section):
    policy: Annotated[str | dict[str, Any] | None, BeforeValidator(_name_or_table)] = Field(
        None,
        description=(
            "one that nearfar methods lists, or your own (default: the source's, else the method's)"
        ),
    )
    strength: float = Field(1.0, ge=0, le=4, description="multiplies the color jitter")
    count: int | None = Field(
        None, ge=1, le=64, description="views of each image (default: the method's)"
    )


class EncoderConfig(Section):
    name: str | None = Field(
        None, description="conv4 or a timm name (default conv4 to 16 px, else resnet18)"
    )
    pretrained: bool = Field(False, description="start from the hub's weights")
    weights: str | None = Field(
        None, description="start from a file: .safetensors, or read by weights_only"
    )
    stem: Literal["auto", "own", "small"] = Field(
        "auto", description="small: 3x3 stride 1 without max-pool; auto takes it up to 40 px"
    )
    mean: Unit | None = Field(
        None, strict=False, description="of the input's channels, in [0, 1] (default: measured)"
    )
    std: Unit | None = Field(
        None, strict=False, description="of the input's channels (default: measured)"
    )


class OptimizerConfig(Section):
    name: OptimizerName | None = Field(
        None,
        description=(
            "sgd (with Nesterov momentum), adamw, adam, lars, rmsprop (default: the method's)"
        ),
    )
    lr: float | None = Field(
        None, gt=0, le=MAX_RATE, description="rate as used (default: the method's, scaled by batch)"
    )
    weight_decay: float | None = Field(None, ge=0, description="default: the method's")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="of sgd, lars and rmsprop; beta1 of adam and adamw"
    )
    decay_norms_and_biases: bool | None = Field(
        None, description="weight decay on them too (default: the method's; lars: no)"
    )
    trust_coefficient: float | None = Field(None, gt=0, description="of lars (default .001)")
    trust_ratio: Literal["norm_of_sum", "sum_of_norms"] | None = Field(
        None,
        description=(
            "of lars: length of w by that of g + wd w (default), or by that of g plus wd that of w"
        ),
    )
    trust_clip: bool | None = Field(
        None, description="of lars: at most the plain rate (default false)"
    )
    epsilon: float | None = Field(
        None, gt=0, description="of rmsprop, inside the root (default .001)"
    )


class ScheduleConfig(Section):
    warmup_epochs: float | None = Field(
        None, ge=0, description="linear rise (default a tenth, at most 10)"
    )
    decay: Literal["cosine", "steps", "constant"] | None = Field(
        None, description="after the warm-up (default: the method's, cosine but for relational)"
    )
    floor: float | None = Field(
        None, ge=0, lt=1, description="of cosine: part of the peak where it ends (default 0)"
    )
    milestones: tuple[float, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        description="of steps: parts of the run (default .6, .75, .9)",
    )
    factor: float | None = Field(
        None, gt=0, lt=1, description="of steps: on the rate, at each one (default .2)"
    )


class TrainConfig(Section):
    epochs: int = Field(100, ge=1, description="passes over the training images")
    batch_size: int | None = Field(None, ge=2, description="images a step, over all devices")
    micro_batch_size: int | None = Field(
        None, ge=1, description="rows a chunk; same gradient, less memory"
    )
    steps_per_epoch: int | None = Field(None, ge=1, description="default: images / batch_size")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="of the encoder's arithmetic"
    )
    gradient_clip: float | None = Field(
        None, gt=0, description="largest norm of the whole gradient"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="names every random stream of the run")


class EvaluateConfig(Section):
    probes: tuple[str, ...] | None = Field(
        None,
        strict=False,
        description=(
            "names of the evaluators that measure the frozen encoder, MODULE:CLASS for your own"
            " (default: all that cost little)"
        ),
    )
    map_rows: int = Field(
        2000, ge=1, description="most test images that the map and embeddings.npz hold"
    )
    selections: int = Field(10, ge=0, description="how often a run kNN on validation is taken")
    online_probe: bool | None = Field(
        None,
        description=(
            "a linear classifier beside training, on detached representations of the training"
            " views: the encoder learns nothing from it (default: with methods that need labels)"
        ),
    )


class ClassifierConfig(Section):
    """The classifier stage, after pretraining; only with a `kind` are there other keys."""

    kind: Literal["linear", "mlp"] | None = Field(
        None,
        description=(
            "trained on the labeled training images, projector dropped (unset: the linear probe"
            " serves)"
        ),
    )
    encoder: Literal["frozen", "finetuned"] = Field(
        "frozen",
        description="frozen: nothing in it moves; finetuned: a copy learns on, at encoder_lr",
    )
    epochs: int | None = Field(
        None, ge=1, description="of the stage (default 30; finetuned at most train.epochs)"
    )
    policy: str | None = Field(
        None,
        description=(
            "views, one of each image an epoch; or evaluation: images as they are evaluated,"
            " encoded once, for a frozen encoder (default evaluation; finetuned: the source's"
            " policy, else basic)"
        ),
    )
    lr: float | None = Field(
        None,
        gt=0,
        le=MAX_RATE,
        description="of the classifier: AdamW, cosine to zero (default 0.01)",
    )
    encoder_lr: float | None = Field(
        None,
        gt=0,
        le=MAX_RATE,
        description=(
            "of a finetuned encoder (default a tenth of lr; a hundredth from given weights)"
        ),
    )
    weight_decay: float = Field(0.01, ge=0, description="of AdamW, decoupled")
    hidden_dim: int | None = Field(None, ge=1, description="width inside the mlp (default 1000)")
    dropout: float | None = Field(
        None, ge=0, lt=1, description="before both layers of the mlp (default 0.5)"
    )


class RunConfig(Section):
    """A whole run. Before training every `None` that the run depends on has been replaced."""

    data: DataConfig
    views: ViewsConfig
    encoder: EncoderConfig
    method_name: str
    method: SerializeAsAny[MethodConfig]
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    classifier: ClassifierConfig

    def sections(self) -> dict[str, dict[str, Any]]:
        """As TOML sections, keys without a value left out, and a stage that is not wanted."""
        dumped = self.model_dump(mode="json", exclude_none=True)
        if self.classifier.kind is None:
            del dumped["classifier"]
        dumped["method"] = {"name": dumped.pop("method_name"), **dumped["method"]}
        return dumped


# What one optimizer or decay alone reads: (section, key, its value) with the other keys and what
# they are by default.
OWN_KEYS: Mapping[tuple[str, str, str], Mapping[str, Any]] = MappingProxyType({
    ("optimizer", "name", "lars"): {
        "trust_coefficient": 0.001, "trust_ratio": "norm_of_sum", "trust_clip": False,
    },
    ("optimizer", "name", "rmsprop"): {"epsilon": 0.001},
    ("schedule", "decay", "cosine"): {"floor": 0.0},
    # SupContrast's linear stage
    ("schedule", "decay", "steps"): {"milestones": (0.6, 0.75, 0.9), "factor": 0.2},
})  # fmt: skip
SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "views": ViewsConfig,
    "encoder": EncoderConfig,
    "optimizer": OptimizerConfig,
    "schedule": ScheduleConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "classifier": ClassifierConfig,
}
