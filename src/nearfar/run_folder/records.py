"""The records of one run: results.json and its parts, what it says of its encoder,
environment.json, stopped.json, and an epoch of metrics.jsonl or classifier.jsonl.

What has a default may be absent from a file that is read; all that a record holds is written.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from nearfar.run_folder.record import Record, without

Selection = Literal["last", "validation"]
Unit = Literal["fraction", "nats", "count", "ratio", "seconds", "bytes"]
Better = Literal["higher", "lower"]
Interpolation = Literal["bilinear", "bicubic"]
Severity = Literal["ill", "watch"]


class Measurement(Record):
    """One number, or one a class, with what it takes to read it."""

    name: str
    title: str
    split: str | None = None
    selection: Selection | None = None  # None: the untrained encoder
    # a tuple for each class; None where the split has no image of it
    value: float | tuple[float | None, ...] | None = None
    unit: Unit
    better: Better | None  # which values are; None: neither
    n: int | None = None
    interval: tuple[float, float] | None = None  # 95 %
    protocol: str = ""
    data: str | None = None  # the source, where it was measured on other data than the run's

    @property
    def number(self) -> float | None:
        """The value where it is one number, else None."""
        return self.value if isinstance(self.value, float) else None

    @model_serializer(mode="wrap")
    def _absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without(handler(self), "data")


class JudgedBy(Record):
    """The one number that methods are judged by."""

    name: str
    split: str
    selection: Selection


def judged_ends(
    own: Sequence[Measurement], untrained: Sequence[Measurement], by: JudgedBy
) -> tuple[Measurement | None, Measurement | None]:
    """The number that runs are judged by, before training and after it; None where it was not
    taken.
    """
    start = [m for m in untrained if (m.name, m.split) == (by.name, by.split)]
    end = [m for m in own if (m.name, m.split, m.selection) == (by.name, by.split, by.selection)]
    return (start[0] if start else None), (end[0] if end else None)


class DataSummary(Record):
    name: str
    source: str = ""
    classes: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()  # labeled training images of each
    # of the labels of training images what was asked for, by the run's seed; None: all, as they are
    labels_per_class: int | None = None
    label_fraction: float | None = None
    label_noise: float | None = None
    n_withheld: int = 0
    n_mislabeled: int = 0
    n_train: int = 0  # with a label
    n_unlabeled: int = 0
    n_val: int = 0
    n_test: int = 0
    n_test_seen: int = 0  # of which training had a copy, or another of their group
    side: int | None = None
    skipped: tuple[Any, ...] = ()  # path and reason


class Start(NamedTuple):
    """The encoder before training, the floor of every table: its method id there is `UNTRAINED`."""

    title: str  # of a line of a table
    spoken: str  # in a sentence


UNTRAINED = "untrained"
NEW = Start(UNTRAINED, "the untrained encoder")
GIVEN = Start("given weights, frozen", "the given weights")
MIXED = Start("before training", "the encoder before training")  # of runs with different starts


class EncoderSummary(Record):
    name: str = "encoder"
    width: int | None = None
    size: int | None = None
    stem: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    weights: str | None = None  # "hub", or as encoder.weights names them
    parameters: int | None = None
    not_in_weights: tuple[str, ...] | None = None  # tensors of the encoder, which were new
    weights_unused: tuple[str, ...] | None = None  # tensors of the weights

    @property
    def start(self) -> "Start":
        """What it was before training, in words."""
        return NEW if self.weights is None else GIVEN

    @model_serializer(mode="wrap")
    def _absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without(handler(self), "not_in_weights", "weights_unused")


def common_start(encoders: Iterable[EncoderSummary]) -> Start:
    """What to call the starts of several runs in one word."""
    found = {(encoder.name, encoder.start) for encoder in encoders}
    return found.pop()[1] if len(found) == 1 else MIXED


class ViewsSummary(Record):
    policy: str | None = None
    count: int | None = None
    shown: str | None = None  # of each image a step: "2", or "2 + 6 of 28 px"


class TrainSummary(Record):
    epochs: int | None = None
    batch_size: int | None = None
    steps_per_epoch: int | None = None
    # of images of each class in an epoch, on average; () where it passes over all images
    class_draws: tuple[float, ...] = ()
    images: int | None = None
    optimizer: str | None = None
    lr: float | None = None
    weight_decay: float | None = None
    precision: str | None = None
    needs_labels: bool | None = None


class Confusion(Record):
    """counts[true][predicted] by the classifier that serves for predictions."""

    split: str = "test"
    by: str = "linear probe"  # the title of what classified them
    counts: tuple[tuple[int, ...], ...]


class Candidate(Record):
    """A classifier that may serve for predictions, and the shares of images that it gets right;
    None where they were not measured.
    """

    name: str  # "linear_probe", "head", "stage", or an evaluator's
    title: str
    validation: float | None = None
    test: float | None = None


class PredictedBy(Candidate):
    """The one in classifier.safetensors: the best on validation of the `candidates`."""

    encoder: Literal["frozen", "finetuned"] = "frozen"  # that it reads: the last, or its own
    candidates: tuple[Candidate, ...] = ()


class Cost(Record):
    train_seconds: float | None = None
    classifier_seconds: float | None = None
    total_seconds: float | None = None
    peak_memory_bytes: int | None = None
    views_seen: int | None = None
    steps: int | None = None
    selected_epoch: int | None = None


# how the texts of two kinds of `undertrained` begin
STILL_FALLS = "undertrained: the loss still falls steeply"
LOST_EPOCHS = "undertrained: the loss lay at its chance level"


class Verdict(Record):
    """What is wrong with a run, since which epoch, by which number, and what to try."""

    code: str
    severity: Severity
    since_epoch: int
    text: str  # all of it
    advice: str = ""  # its end, where there is something to try


class Results(Record):
    """results.json."""

    nearfar: str = ""
    method: str
    recipe: str | None = None  # that the run is of
    seed: int = 0
    complete: bool = True
    command: str = ""
    data: DataSummary
    encoder: EncoderSummary = EncoderSummary()
    views: ViewsSummary = ViewsSummary()
    train: TrainSummary = TrainSummary()
    classifier: dict[str, Any] | None = None  # its section of run.toml
    measurements: tuple[Measurement, ...] = ()
    untrained: tuple[Measurement, ...] = ()
    shown: tuple[str, ...]  # names of the measurements that summaries show, in their order
    judged_by: JudgedBy
    confusion: Confusion | None = None
    predicted_by: PredictedBy | None = None
    cost: Cost = Cost()
    verdicts: tuple[Verdict, ...] = ()  # of the doctor, the gravest first
    diagnosis: tuple[str, ...] = ()  # in words, with what else is to be said of the run

    @property
    def label(self) -> str:
        """What tables and reports call the run: by its recipe, else by its method."""
        return self.recipe or self.method

    @property
    def judged(self) -> tuple[Measurement | None, Measurement | None]:
        """What the run is judged by, of the encoder before training and after it."""
        return judged_ends(self.own, self.untrained, self.judged_by)

    @property
    def own(self) -> tuple[Measurement, ...]:
        """What was measured on the run's own data."""
        return tuple(m for m in self.measurements if m.data is None)

    @model_serializer(mode="wrap")
    def _absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without(handler(self), "recipe")

    @model_validator(mode="after")
    def _confusion_is_square(self) -> "Results":
        n = len(self.data.classes)
        if (
            self.confusion is not None
            and n
            and [len(row) for row in self.confusion.counts] != [n] * n
        ):
            raise ValueError(f"confusion: want {n} x {n} counts, one row and one column a class")
        return self


class EncoderFile(Record):
    """Of the encoder's config.json the part "nearfar": what it takes to build the encoder again,
    and to show it images as here.
    """

    architecture: str
    built_by: Literal["timm", "nearfar", "user"] = Field(  # as version 0.1.0 wrote it
        validation_alias="library", serialization_alias="library"
    )
    create: dict[str, Any] = Field(default_factory=dict)
    stem: tuple[str, ...]
    width: int | None = None
    input_size: int
    eval_crop: float
    interpolation: Interpolation = "bilinear"
    gray_white: int = 65535  # what is shown as white of gray in 16-bit integers
    float_white: float | None = None  # and in floating-point numbers; None: 1 or 255, as they fit
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    class_names: tuple[str, ...]


class Environment(Record):
    """environment.json; every value is shown as it stands."""


class Stopped(Record):
    """Training that could not go on: `code` is `diverged` where a loss, gradient or weight was no
    finite number.
    """

    code: str
    epoch: int  # in which it stopped
    text: str


class EpochMetrics(Record):
    """One line of metrics.jsonl, or of classifier.jsonl."""

    epoch: int
    loss: float | None = None
    chance: float | None = None
    knn_val: float | None = Field(None, alias="knn.top1.val")
    online_probe: float | None = Field(None, alias="online_probe.top1.train")
    effective_rank: float | None = None
    alignment: float | None = None
    uniformity: float | None = None
    queue_age: float | None = None
    classifier_val: float | None = Field(None, alias="classifier.top1.val")

    @property
    def numbers(self) -> dict[str, float]:
        """Every number of the line by its name there, whether or not it is known here."""
        found = self.model_dump(by_alias=True, exclude_none=True)
        return {name: float(value) for name, value in found.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
