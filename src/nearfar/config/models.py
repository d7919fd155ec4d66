"""The sections of a run's configuration. `None` means "chosen by nearfar, written into
run.toml".
"""

import inspect
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny
from pydantic_core import PydanticCustomError

from nearfar.config.section import Section
from nearfar.config.training import (
    MAX_RATE,
    DecayName,
    OptimizerConfig,
    OptimizerName,
    ScheduleConfig,
    TrainConfig,
)

Unit = tuple[float, float, float]
AS_EVALUATED = "evaluation"  # of classifier.policy


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
    source: str = Field(
        description=(
            "the images: digits (built in), a folder with one subfolder per class, or a .tar,"
            " .tar.gz or .tar.xz archive of such a folder"
        )
    )
    size: int | None = Field(
        None,
        ge=4,
        le=4096,
        description=(
            "side length of the square views, in pixels (default: 64, or the usual short side of"
            " the images if that is smaller)"
        ),
    )
    eval_crop: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "evaluation: how much of the largest centered square is used, as a fraction of its"
            " side; 1.0 is all of it"
        ),
    )
    balanced: bool = Field(
        False,
        description=(
            "true: every class is equally likely in every batch; useful when classes differ much"
            " in size (methods that need labels only)"
        ),
    )
    strict: bool = Field(
        False, description="true: stop if an image file cannot be read, instead of leaving it out"
    )


def _name_or_table(value: object) -> object:
    if value is None or isinstance(value, str | dict):
        return value
    # the union would name its members, not the field
    raise PydanticCustomError("name_or_table", "a name or a table")


class ViewsConfig(Section):
    policy: Annotated[str | dict[str, Any] | None, BeforeValidator(_name_or_table)] = Field(
        None,
        description=(
            "how views are made: a name listed by nearfar methods, or a table of operations of"
            " your own, see docs/views.md (default: the policy of the data source, else of the"
            " method)"
        ),
    )
    strength: float = Field(
        1.0,
        ge=0,
        le=4,
        description=(
            "factor on the strength of every color jitter, and of brightness that is added: 1"
            " leaves the policy as it is, 0 switches both off"
        ),
    )
    count: int | None = Field(
        None,
        ge=1,
        le=64,
        description="number of views made of each image in a step (default: the method's)",
    )


class EncoderConfig(Section):
    name: str | None = Field(
        None,
        description=(
            "the network: conv4, or a timm network that nearfar encoders lists (default: conv4"
            " for views up to 16 px, else resnet18)"
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
            "file of weights to start from: .safetensors, or a PyTorch file that"
            " torch.load(weights_only=True) reads"
        ),
    )
    stem: Literal["auto", "own", "small"] = Field(
        "auto",
        description=(
            "first layers of the network: own (as published), small (3x3 convolution with stride"
            " 1, no max-pooling), auto (small for views up to 40 px, else own)"
        ),
    )
    mean: Unit | None = Field(
        None,
        strict=False,
        description=(
            "mean of each color channel, for normalizing images; in [0, 1], typed as"
            " [0.5,0.5,0.5] (default: measured on the training images; pretrained: as published)"
        ),
    )
    std: Unit | None = Field(
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


class EvaluateConfig(Section):
    probes: tuple[str, ...] | None = Field(
        None,
        strict=False,
        description=(
            "evaluators that measure the frozen encoder, typed as [linear,knn]; MODULE:CLASS for"
            " one of your own (default: linear, knn, few_label, retrieval)"
        ),
    )
    map_rows: int = Field(
        2000,
        ge=1,
        description=(
            "largest number of test images in embeddings.npz and in the report's map of"
            " representations"
        ),
    )
    selections: int = Field(
        10,
        ge=0,
        description=(
            "times per run that kNN accuracy on validation is measured to select an epoch; 0: never"
        ),
    )
    online_probe: bool | None = Field(
        None,
        description=(
            "true: train a linear classifier alongside, to watch accuracy during training; the"
            " encoder learns nothing from it (default: true for methods that need labels)"
        ),
    )


class ClassifierConfig(Section):
    """Training of a classifier after pretraining. It takes place where `kind` is set; the other
    keys need it.
    """

    kind: Literal["linear", "mlp"] | None = Field(
        None,
        description=(
            "type of classifier to train on the encoder after pretraining, for use by nearfar"
            " predict: linear or mlp (unset: none; predict uses the linear probe)"
        ),
    )
    encoder: Literal["frozen", "finetuned"] = Field(
        "frozen",
        description=(
            "frozen: only the classifier is trained; finetuned: a copy of the encoder is trained"
            " with it"
        ),
    )
    epochs: int | None = Field(
        None,
        ge=1,
        description=(
            "passes over the labeled training images (default: 30; finetuned: 30, or train.epochs"
            " if that is less)"
        ),
    )
    policy: str | None = Field(
        None,
        description=(
            "images the classifier is trained on: evaluation (as they are evaluated; frozen"
            " encoder only), or a view policy, one new view per image and epoch (default:"
            " evaluation; finetuned: the policy of the data source, else basic)"
        ),
    )
    standardize: bool = Field(
        True,
        description=(
            "true: the classifier is shown representations whose mean over the training images is"
            " 0 and whose standard deviation is 1; false: as the encoder gives them"
        ),
    )
    init: Literal["random", "probe"] = Field(
        "random",
        description=(
            "weights to start from: random, or probe (kind=linear: those of the linear probe of"
            " the pretrained encoder)"
        ),
    )
    optimizer: OptimizerName = Field(
        "adamw",
        description=(
            "the optimizer: sgd (with Nesterov momentum), adamw, adam, lars or rmsprop; lars and"
            " rmsprop with the defaults of [optimizer]"
        ),
    )
    lr: float | None = Field(
        None,
        gt=0,
        le=MAX_RATE,
        description=(
            "peak learning rate of the classifier (default: 0.01; sgd: 0.1; lars: 10; rmsprop:"
            " 0.01)"
        ),
    )
    encoder_lr: float | None = Field(
        None,
        gt=0,
        le=MAX_RATE,
        description=(
            "encoder=finetuned: peak learning rate of the encoder (default: 0.1 times"
            " classifier.lr; 0.01 times if the encoder started from weights)"
        ),
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        description="strength of weight decay (default: 0.01 for adamw, 0 for all others)",
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="momentum of sgd, lars and rmsprop; beta1 of adam and adamw"
    )
    decay: DecayName = Field(
        "cosine",
        description=(
            "course of the learning rate: cosine (to zero), steps (times 0.2 after 60, 75 and 90 %"
            " of the epochs) or constant"
        ),
    )
    hidden_dim: int | None = Field(
        None, ge=1, description="kind=mlp: width of the hidden layer (default: 1000)"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="kind=mlp: dropout rate before both layers (default: 0.5)"
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
