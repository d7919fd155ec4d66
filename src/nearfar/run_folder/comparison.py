"""The records of a comparison: compare.json and its parts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from nearfar.run_folder.record import Record, without
from nearfar.run_folder.records import (
    UNTRAINED,
    Better,
    DataSummary,
    JudgedBy,
    Selection,
    Unit,
)

# What a run costs, beside its measurements: title and unit by name; of all, less is better.
COSTS: Mapping[str, tuple[str, Unit]] = MappingProxyType(
    {
        "cost.train_seconds": ("seconds of training", "seconds"),
        "cost.peak_memory_bytes": ("peak memory", "bytes"),
    }
)
TUNING_COST = "cost.tuning_seconds"  # of all trials of a method


class TableEntry(Record):
    """One number of the table: over `seeds` runs of a method, or of one run with its own
    interval.
    """

    method: str
    name: str
    title: str
    split: str | None = None
    selection: Selection | None = None
    unit: Unit
    better: Better | None
    mean: float | None = None
    sd: float | None = None  # n - 1; None for one seed
    seeds: int = 1
    interval: tuple[float, float] | None = None

    @model_serializer(mode="wrap")
    def _absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without(handler(self), "interval")


class Difference(Record):
    """The difference a − b of two methods' means, and whether the seeds alone could have made
    it.
    """

    name: str
    a: str
    b: str
    difference: float | None = None
    interval: tuple[float, float] | None = None
    larger_than_noise: bool | None = None
    seeds_needed: int | None = None  # about, to tell a difference of this size; None: not known
    text: str = ""


class Predicting(Record):
    """By what `nearfar predict` classifies with a method's runs: each the classifier that is best
    on validation.
    """

    method: str
    by: dict[str, int] = Field(default_factory=dict)  # title of the classifier: in how many runs
    mean: float | None = None  # share of the test images that are right
    sd: float | None = None
    seeds: int = 1
    text: str = ""


class LeftOut(Record):
    """A method that the data do not fit, and why."""

    method: str
    reason: str = ""


class Failed(Record):
    """A run that could not go on, and why."""

    method: str
    seed: int
    reason: str = ""


class Trial(Record):
    """A short run with these settings."""

    settings: dict[str, float]
    epochs: int
    score: float | None = None  # None: it lost
    seconds: float = 0.0
    lost: str = ""  # why


class Tuning(Record):
    """What was tried for a method before its runs, by trials on validation, and what was chosen."""

    method: str
    judged_by: str = ""  # what `score` is, in words
    defaults: dict[str, float] = Field(default_factory=dict)  # of what was tuned
    chosen: dict[str, float] = Field(default_factory=dict)
    score: float | None = None  # of what was chosen, in its longest trial
    default_score: float | None = None  # in a trial as long; None: the defaults lost
    seconds: float = 0.0
    trials: tuple[Trial, ...] = ()


class ComparisonResults(Record):
    """compare.json."""

    nearfar: str = ""
    command: str = ""
    data: DataSummary | None = None
    methods: tuple[str, ...] = ()
    seeds: int = 1
    images: dict[str, int | None] = Field(default_factory=dict)  # that each method trained on
    table: tuple[TableEntry, ...] = ()
    shown: tuple[str, ...]  # names of the measurements that summaries show, in their order
    judged_by: JudgedBy
    floor: str = UNTRAINED  # title of the encoder before training, whose method id is "untrained"
    comparisons: tuple[Difference, ...] = ()
    predicting: tuple[Predicting, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    unbalanced: tuple[LeftOut, ...] = ()  # methods that data.sampling was left out for
    failed: tuple[Failed, ...] = ()
    tuning: tuple[Tuning, ...] = ()
    runs: tuple[str, ...] = ()  # their folders, seen from the comparison's
    use: str | None = None  # of the run whose classifier is best on validation
    report: str = ""
