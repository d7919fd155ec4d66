"""The files of a run folder as the report relies on them: checked once on reading, plain values
after that.

Keys that are not named here are ignored, so that other rooms may write more than the report shows.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nearfar.report.formats import Unit

Selection = Literal["last", "validation"]
Better = Literal["higher", "lower"]


class Record(BaseModel):
    """Read-only, tolerant of keys that the report does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=True)


class Measurement(Record):
    """One number, or one a class, with what it takes to read it."""

    name: str
    title: str = ""
    split: str | None = None
    selection: Selection | None = None
    value: float | tuple[float | None, ...] | None = None
    unit: Unit = "fraction"
    better: Better | None = "higher"
    n: int | None = None
    interval: tuple[float, float] | None = None  # 95 %
    protocol: str = ""
    data: str = ""  # the source, where it was measured on other data than the run's

    @property
    def number(self) -> float | None:
        """The value where it is one number, else None."""
        return self.value if isinstance(self.value, float) else None


class JudgedBy(Record):
    """The one number that methods are judged by."""

    name: str
    split: str
    selection: Selection


class DataSummary(Record):
    name: str
    source: str = ""
    classes: tuple[str, ...] = ()
    n_train: int = 0
    n_unlabeled: int = 0
    n_val: int = 0
    n_test: int = 0
    side: int | None = None
    skipped: tuple[Any, ...] = ()


class EncoderSummary(Record):
    name: str = "encoder"
    width: int | None = None
    size: int | None = None
    parameters: int | None = None


class ViewsSummary(Record):
    policy: str | None = None
    count: int | None = None
    shown: str | None = None  # of each image a step: "2", or "2 + 6 of 28 px"


class Confusion(Record):
    """counts[true][predicted] of the last encoder, by the linear probe or a classifier stage."""

    split: str = "test"
    by: str = "linear probe"
    counts: tuple[tuple[int, ...], ...]


class Cost(Record):
    train_seconds: float | None = None
    total_seconds: float | None = None
    peak_memory_bytes: float | None = None
    views_seen: float | None = None


class Results(Record):
    """results.json of one run."""

    nearfar: str = ""
    method: str
    seed: int = 0
    complete: bool = True
    command: str = ""
    data: DataSummary
    encoder: EncoderSummary = EncoderSummary()
    views: ViewsSummary = ViewsSummary()
    train: dict[str, Any] = Field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    untrained: tuple[Measurement, ...] = ()
    shown: tuple[str, ...] = ()  # names of the measurements that summaries show, in their order
    judged_by: JudgedBy
    confusion: Confusion | None = None
    cost: Cost = Cost()
    diagnosis: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[Measurement, ...]:
        """What was measured on the run's own data."""
        return tuple(m for m in self.measurements if not m.data)

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


class TableEntry(Record):
    """One number of the table: over `seeds` runs of a method, or of one run with its own
    interval.
    """

    method: str
    name: str
    title: str = ""
    split: str | None = None
    selection: Selection | None = None
    unit: Unit = "fraction"
    better: Better | None = "higher"
    mean: float | None = None
    sd: float | None = None
    seeds: int = 1
    interval: tuple[float, float] | None = None


class Comparison(Record):
    """The difference a − b of two methods' means, and whether the seeds alone could have made
    it.
    """

    name: str
    a: str
    b: str
    difference: float | None = None
    interval: tuple[float, float] | None = None
    larger_than_noise: bool | None = None
    text: str = ""


class LeftOut(Record):
    method: str
    reason: str = ""


class CompareFile(Record):
    """compare.json of a comparison."""

    table: tuple[TableEntry, ...] = ()
    shown: tuple[str, ...] = ()
    judged_by: JudgedBy
    comparisons: tuple[Comparison, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    runs: tuple[str, ...] = ()
    command: str = ""


class EncoderFile(Record):
    """encoder.json: what it takes to build the encoder again, without nearfar."""

    architecture: str
    library: Literal["timm", "nearfar", "user"]
    width: int | None = None
    input_size: int
    create: dict[str, Any] = Field(default_factory=dict)
    stem: tuple[str, ...] = ()
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    eval_crop: float = 1.0


class Environment(Record):
    """environment.json; every value is shown as it stands."""

    model_config = ConfigDict(frozen=True, extra="allow")
