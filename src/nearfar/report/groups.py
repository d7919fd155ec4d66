"""Runs that differ in nothing but their seed are one group: a row of the table, a column of the
maps.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from nearfar.report.predicting import predicting
from nearfar.report.read import Run, Source
from nearfar.run_folder.comparison import (
    COSTS,
    Difference,
    Failed,
    LeftOut,
    Predicting,
    TableEntry,
    Tuning,
)
from nearfar.run_folder.records import UNTRAINED, JudgedBy, Measurement, Start, common_start


@dataclass(frozen=True)
class Group:
    """The runs of one method or recipe (and one configuration) over the seeds; `label` is what the
    page calls it.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def trained(self) -> bool:
        """Whether anything was trained."""
        return self.first.results.train.epochs != 0

    @property
    def predicting(self) -> Predicting | None:
        """By what `nearfar predict` classifies with these runs."""
        return predicting(self.label, [run.results for run in self.runs])

    @property
    def complete(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.results.complete)


@dataclass(frozen=True)
class Findings:
    """What the page tells: groups, the table's numbers, and what is known of their differences."""

    groups: tuple[Group, ...]
    table: tuple[TableEntry, ...]
    judged_by: JudgedBy
    shown: tuple[str, ...] = ()  # names of the table's columns
    comparisons: tuple[Difference, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    command: str = ""
    tuning: tuple[Tuning, ...] = ()
    failed: tuple[Failed, ...] = ()
    same_data: bool = True

    @property
    def start(self) -> Start:
        """What to call the encoder before training."""
        return common_start(run.results.encoder for group in self.groups for run in group.runs)

    def entry(
        self, method: str, name: str, split: str | None, selection: str | None
    ) -> TableEntry | None:
        for entry in self.table:
            if (entry.method, entry.name, entry.split, entry.selection) == (
                method,
                name,
                split,
                selection,
            ):
                return entry
        return None

    def reported_split(self) -> str:
        """The split that the table reports: that of the number that methods are judged by, or what
        there is in its place.
        """
        splits = {entry.split for entry in self.table if entry.split is not None}
        asked = self.judged_by.split
        return asked if asked in splits or not splits else sorted(splits)[0]

    def judged(self, method: str) -> TableEntry | None:
        """The number that a method is judged by; None where it was not measured."""
        selection = None if method == UNTRAINED else self.judged_by.selection
        entry = self.entry(method, self.judged_by.name, self.reported_split(), selection)
        return entry if entry is not None and entry.mean is not None else None

    def gain(self, a: TableEntry, b: TableEntry) -> float:
        """By how much a is better than b; below 0 where it is worse."""
        difference = (a.mean or 0.0) - (b.mean or 0.0)
        return -difference if a.better == "lower" else difference

    def ranked(self, methods: Sequence[str]) -> list[str]:
        """The best first; of equal ones the first stays first, and those without the number come
        last.
        """
        known = [(method, self.judged(method)) for method in methods]

        def rank(entry: TableEntry | None) -> tuple[bool, float]:
            if entry is None or entry.mean is None:
                return True, 0.0
            return False, entry.mean if entry.better == "lower" else -entry.mean

        return [method for method, entry in sorted(known, key=lambda item: rank(item[1]))]


def findings(source: Source) -> Findings:
    """Of a comparison: what compare.json says. Of loose runs: the same numbers, gathered here."""
    same_data = len({data_key(run) for run in source.runs}) <= 1
    if source.compare is not None:
        groups = _by_label(source.runs)
        compare = source.compare
        return Findings(
            groups,
            compare.table,
            compare.judged_by,
            compare.shown,
            compare.comparisons,
            compare.left_out,
            compare.command,
            compare.tuning,
            compare.failed,
            same_data,
        )
    groups = _by_configuration(source.runs)
    command = source.runs[0].results.command if len(source.runs) == 1 else ""
    runs = [run.results for group in groups for run in group.runs]
    return Findings(
        groups,
        tuple(gather(groups)),
        runs[0].judged_by,
        tuple(dict.fromkeys(name for results in runs for name in results.shown)),
        command=command,
        same_data=same_data,
    )


def data_key(run: Run) -> tuple[str, int, tuple[str, ...]]:
    data = run.results.data
    return data.name, data.n_test, data.classes


def _by_label(runs: Sequence[Run]) -> tuple[Group, ...]:
    by: dict[str, list[Run]] = {}
    for run in runs:
        by.setdefault(run.label, []).append(run)
    return tuple(Group(label, tuple(sorted(of, key=_seed))) for label, of in by.items())


def _by_configuration(runs: Sequence[Run]) -> tuple[Group, ...]:
    """Equal but for the seed → one group. Where a method or recipe has several groups, the folder
    tells them apart.
    """
    by: dict[str, list[Run]] = {}
    for run in runs:
        by.setdefault(repr((run.label, data_key(run), _without_seed(run.config))), []).append(run)
    labels = [of[0].label for of in by.values()]
    return tuple(
        Group(
            of[0].label if labels.count(of[0].label) == 1 else f"{of[0].label} ({of[0].path.name})",
            tuple(sorted(of, key=_seed)),
        )
        for of in by.values()
    )


def _seed(run: Run) -> int:
    return run.results.seed


def _without_seed(config: str | None) -> Any:
    tree = settings(config)
    tree.get("train", {}).pop("seed", None)
    return tree or config


def settings(config: str | None) -> dict[str, dict[str, Any]]:
    """The sections of run.toml; none where it is absent or no TOML."""
    try:
        tree = tomllib.loads(config or "")
    except tomllib.TOMLDecodeError:
        return {}
    return {name: section for name, section in tree.items() if isinstance(section, dict)}


def gather(groups: Sequence[Group]) -> list[TableEntry]:
    """Mean and sd over each group's complete runs, then over the encoders before training, each
    counted once.
    """
    table: list[TableEntry] = []
    for group in groups:
        runs = group.complete
        table += _entries(group.label, [run.results.own for run in runs])
        for name, (title, unit) in COSTS.items():
            costs = [getattr(run.results.cost, name.removeprefix("cost.")) for run in runs]
            known = [cost for cost in costs if cost is not None]
            cost = Measurement(name=name, title=title, unit=unit, better="lower")
            table.append(_entry(group.label, cost, known))
    floors: dict[str, Measurement] = {}
    for run in (run for group in groups for run in group.complete):
        for m in run.results.untrained:
            floors.setdefault(repr((_start(run), m.name, m.split)), m)
    return table + _entries(UNTRAINED, [list(floors.values())])


def _start(run: Run) -> tuple[Any, ...]:
    """What two runs share whose encoders were equal before training, and measured on the same
    images.
    """
    config = settings(run.config)
    data = config.get("data", {})
    encoder = (run.results.encoder, config.get("encoder"))
    # what probes learn from, too
    labels = [data.get(key) for key in ("labels_per_class", "label_fraction", "label_noise")]
    shown = (data.get("size"), data.get("eval_crop"))
    return (data_key(run), shown, labels, encoder, run.results.seed)


def _entries(label: str, runs: Sequence[Sequence[Measurement]]) -> list[TableEntry]:
    values: dict[tuple[str, str | None, str | None], list[Measurement]] = {}
    for measurement in (m for run in runs for m in run if m.number is not None):
        key = (measurement.name, measurement.split, measurement.selection)
        values.setdefault(key, []).append(measurement)
    return [
        _entry(label, ms[0], [m.number for m in ms if m.number is not None])
        for ms in values.values()
    ]


def _entry(label: str, like: Measurement, values: Sequence[float]) -> TableEntry:
    return TableEntry(
        method=label,
        name=like.name,
        title=like.title,
        split=like.split,
        selection=like.selection,
        unit=like.unit,
        better=like.better,
        mean=mean(values) if values else None,
        sd=stdev(values) if len(values) > 1 else None,
        seeds=len(values),
        interval=like.interval if len(values) == 1 else None,
    )
