"""The sections of a run's configuration. `None` means "chosen by nearfar, written into
run.toml".
"""

import inspect
import re
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from nearfar.config.classifier import ClassifierConfig
from nearfar.config.encoder import EncoderConfig
from nearfar.config.section import Section
from nearfar.config.training import (
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)


class MethodConfig(Section):
    """Base of every method's own fields; its docstring's first paragraph is the summary."""

    trains: ClassVar[bool] = True  # False: given weights stay as they are

    needs_projector: ClassVar[str | None] = None  # why projector="none" is refused, if it is

    @model_validator(mode="after")
    def _has_the_projector_that_it_needs(self) -> Self:
        if self.needs_projector and getattr(self, "projector", None) == "none":
            raise ValueError(
                f'projector: want "linear", "relu" or "mlp" ({self.needs_projector}), got "none"'
            )
        return self

    @classmethod
    def summary(cls) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())

    def misfits(self, _images: int, _batch_size: int, _views: int) -> list[str]:
        """What cannot be with so many training images, such batches and so many views of each
        image: the field, what was wanted, what came.
        """
        return []


class DataConfig(Section):
    source: str = Field(
        description=(
            "the images: digits (built in), a folder with one subfolder per class, or a .zip, .tar,"
            " .tar.gz or .tar.xz archive of such a folder, a table of labels (.csv or"
            " .parquet, or with the names of its columns .csv@IMAGE,LABEL), parquet files with"
            " images inside, arrays (.npz), or a published set by name, such as cifar10 (it is"
            " downloaded) or cifar10@FOLDER; docs/data.md has them all"
        )
    )
    size: int | None = Field(
        None,
        ge=4,
        le=4096,
        description=(
            "side length of the square views, in pixels (default: 64, from given weights the"
            " network's own, at most 128 on a CPU; or the usual short side of the images if that"
            " is smaller)"
        ),
    )
    eval_crop: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "evaluation: how much of the largest centered square is used, as a fraction of its"
            " side; 1.0 is all of it (default: 1.0; with given weights what their network is"
            " published with, where timm knows it)"
        ),
    )
    balanced: bool = Field(
        False,
        description=(
            "true: every class is equally likely in every batch; useful when classes differ much"
            " in size (methods that need labels only)"
        ),
    )
    group_by: str | None = Field(
        None,
        description=(
            "what is kept on one side of a cut that nearfar makes, beside equal images: near"
            " (cropped, turned, recolored or re-saved copies of a picture), or a regular expression"
            " that finds in each path what the image shows, such as a person or a day: its first"
            " group, or all that it finds (default: equal images alone)"
        ),
    )
    stream: bool = Field(
        False,
        description=(
            "true: images are read and decoded anew in every epoch, and nothing is stored; for"
            " data whose decoded images do not fit the disk (false: decoded once, into"
            " NEARFAR_CACHE)"
        ),
    )
    strict: bool = Field(
        False, description="true: stop if an image file cannot be read, instead of leaving it out"
    )

    @model_validator(mode="after")
    def _groups_by_an_expression(self) -> Self:
        try:
            re.compile(self.group_by or "")
        except re.error as error:
            raise ValueError(
                f'group_by: want near or a regular expression, got "{self.group_by}" ({error})'
            ) from error
        return self


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


class EvaluateConfig(Section):
    probes: tuple[str, ...] | None = Field(
        None,
        strict=False,
        description=(
            "evaluators that measure the frozen encoder, typed as [linear,knn]; MODULE:CLASS for"
            " one of your own (default: linear, knn, few_label, retrieval)"
        ),
    )
    settings: dict[str, dict[str, Any]] | None = Field(
        None,
        description=(
            "settings of evaluators, by name, such as --set"
            " evaluate.settings={few_label={labels_per_class=5}} (default: each evaluator's own)"
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
        """As TOML sections, keys without a value left out, a stage that is not wanted, and how to
        train where nothing is trained.
        """
        dumped = self.model_dump(mode="json", exclude_none=True)
        if self.classifier.kind is None:
            del dumped["classifier"]
        if not self.method.trains:
            del dumped["views"], dumped["optimizer"], dumped["schedule"], dumped["train"]["epochs"]
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
