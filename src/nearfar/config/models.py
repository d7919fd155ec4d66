"""The sections of a run's configuration. `None` means "chosen by nearfar, written into run.toml"."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

Unit = tuple[float, float, float]


class Section(BaseModel):
    """Frozen; unknown keys, values of another type (`epochs = true`) and infinities are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MethodConfig(Section):
    """Base of every method's own fields; its docstring's first sentence is the method's summary."""


class DataConfig(Section):
    source: str = Field(description="a name, a folder, an archive")
    size: int | None = Field(None, ge=4, le=4096, description="side of the views, px (default 64, or less)")
    eval_crop: float = Field(1.0, gt=0, le=1, description="fraction of the largest centred square")
    balanced: bool = Field(False, description="each class equally likely in every batch")
    strict: bool = Field(False, description="no unreadable file is allowed")


class ViewsConfig(Section):
    policy: str | dict[str, Any] | None = Field(
        None, description="one that nearfar methods lists, or your own (default: the source's, else the method's)"
    )
    strength: float = Field(1.0, ge=0, le=4, description="multiplies the colour jitter")
    count: int | None = Field(None, ge=1, le=64, description="views of each image (default: the method's)")


class EncoderConfig(Section):
    name: str | None = Field(None, description="conv4 or a timm name (default conv4 to 16 px, else resnet18)")
    pretrained: bool = Field(False, description="start from the hub's weights")
    weights: str | None = Field(None, description="start from a file: .safetensors, or read by weights_only")
    stem: Literal["auto", "own", "small"] = Field(
        "auto", description="small: 3x3 stride 1 without max-pool; auto takes it up to 40 px"
    )
    mean: Unit | None = Field(None, strict=False, description="of the input's channels, in [0, 1] (default: measured)")
    std: Unit | None = Field(None, strict=False, description="of the input's channels (default: measured)")


class OptimizerConfig(Section):
    name: Literal["sgd", "adamw", "adam", "lars", "rmsprop"] | None = Field(
        None, description="sgd (with Nesterov momentum), adamw, adam, lars, rmsprop (default: the method's)"
    )
    lr: float | None = Field(None, gt=0, description="rate as used (default: the method's, scaled by batch)")
    weight_decay: float | None = Field(None, ge=0, description="default: the method's")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd, lars and rmsprop; beta1 of adam and adamw")
    decay_norms_and_biases: bool | None = Field(None, description="weight decay on them too (default: the method's)")
    trust_coefficient: float | None = Field(None, gt=0, description="of lars (default .001)")
    trust_ratio: Literal["norm_of_sum", "sum_of_norms"] | None = Field(
        None, description="of lars: |w| by |g + wd w| (default), or by |g| + wd |w|"
    )
    trust_clip: bool | None = Field(None, description="of lars: at most the plain rate (default false)")


class ScheduleConfig(Section):
    warmup_epochs: float | None = Field(None, ge=0, description="linear rise (default a tenth, at most 10)")
    decay: Literal["cosine", "steps", "constant"] = Field("cosine", description="after the warm-up")


class TrainConfig(Section):
    epochs: int = Field(100, ge=1, description="passes over the training images")
    batch_size: int | None = Field(None, ge=1, description="images a step, over all devices")
    micro_batch_size: int | None = Field(None, ge=1, description="rows a chunk; same gradient, less memory")
    steps_per_epoch: int | None = Field(None, ge=1, description="default: images / batch_size")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="of the encoder's arithmetic")
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the whole gradient")
    seed: int = Field(0, ge=0, lt=2**31, description="names every random stream of the run")


class EvaluateConfig(Section):
    probes: tuple[Literal["linear", "knn", "few_label"], ...] = Field(
        ("linear", "knn", "few_label"), strict=False, description="what the frozen encoder is measured by"
    )
    map_rows: int = Field(2000, ge=1, description="most test images that the map and embeddings.npz hold")
    selections: int = Field(10, ge=0, description="how often a run kNN on validation is taken")


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

    def sections(self) -> dict[str, dict[str, Any]]:
        """As TOML sections, keys without a value left out."""
        dumped = self.model_dump(mode="json", exclude_none=True)
        dumped["method"] = {"name": dumped.pop("method_name"), **dumped["method"]}
        return dumped


SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "views": ViewsConfig,
    "encoder": EncoderConfig,
    "optimizer": OptimizerConfig,
    "schedule": ScheduleConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
}
