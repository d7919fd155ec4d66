"""The sections of a run's configuration. `None` means "chosen by nearfar, written into
run.toml".
"""

import inspect
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from nearfar.config.classifier import ClassifierConfig
from nearfar.config.data import DataConfig
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
