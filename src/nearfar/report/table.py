"""The results table: a row for each method, last and validation-selected encoder side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from nearfar.report.formats import (
    MISSING,
    accuracy,
    count,
    images_of_each,
    memory,
    percent,
    plural,
    seconds,
)
from nearfar.report.groups import UNTRAINED, Findings, Group
from nearfar.run_folder.comparison import TableEntry

_TITLES = {
    "linear_probe.top1": "Linear probe",
    "knn.top1": "kNN",
    "few_label_probe.top1@10": "Probe, 10 labels a class",
    "mlp_probe.top1": "MLP probe",
    "finetune.top1": "Fine-tuned",
    "head.top1": "Own head",
    "classifier.top1": "Classifier stage",
    "linear_probe.balanced_accuracy": "Linear probe, balanced",
}
BALANCED_DIFFERS = 0.005  # half a point
_SELECTIONS = {"last": "last epoch", "validation": "best on validation"}


@dataclass(frozen=True)
class Column:
    """One measurement; `selections` are its sub-columns."""

    name: str
    title: str
    selections: tuple[str, ...]

    @property
    def subtitles(self) -> list[str]:
        return [_SELECTIONS[selection] for selection in self.selections]


@dataclass(frozen=True)
class Cell:
    text: str
    note: str = ""  # the interval of one run
    span: int = 1


@dataclass(frozen=True)
class Row:
    method: str
    floor: bool  # the untrained encoder
    cells: tuple[Cell, ...]
    costs: tuple[str, ...]  # seeds, views shown, seconds, memory


@dataclass(frozen=True)
class ResultsTable:
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    split: str
    caption: str
    protocols: tuple[tuple[str, str], ...]  # title, protocol


def spoken_split(found: Findings) -> str:
    """The reported split as a word: "validation", not "val"."""
    split = reported_split(found)
    return "validation" if split == "val" else split


def reported_split(found: Findings) -> str:
    """The split that the table reports: test, or what there is in its place."""
    splits = {entry.split for entry in found.table if entry.split is not None}
    return "test" if "test" in splits or not splits else sorted(splits)[0]


def results_table(found: Findings) -> ResultsTable | None:
    """None where nothing was measured."""
    split = reported_split(found)
    entries = [e for e in found.table if e.split == split and e.mean is not None]
    if not entries:
        return None
    columns = _columns(entries)
    labels = [group.label for group in found.groups]
    labels += sorted({e.method for e in entries} - {*labels, UNTRAINED})
    labels.sort(key=lambda label: -_rank(found, label, split))
    rows = [_row(found, columns, label, split) for label in labels]
    if any(e.method == UNTRAINED for e in entries):
        rows.append(_row(found, columns, UNTRAINED, split))
    return ResultsTable(
        columns, tuple(rows), split, _caption(found, split), _protocols(found, columns)
    )


def _columns(entries: Sequence[TableEntry]) -> tuple[Column, ...]:
    found: dict[str, set[str]] = {}
    for entry in entries:
        if not entry.name.endswith(".balanced_accuracy") or _says_more(entry, entries):
            found.setdefault(entry.name, set()).add(entry.selection or "last")
    names = sorted(
        found, key=lambda name: (list(_TITLES).index(name) if name in _TITLES else 99, name)
    )
    return tuple(
        Column(name, _TITLES.get(name, name), tuple(s for s in _SELECTIONS if s in found[name]))
        for name in names
    )


def _says_more(balanced: TableEntry, entries: Sequence[TableEntry]) -> bool:
    """Whether a balanced accuracy has a column: one a page, and only where the classes' sizes make
    a difference.
    """
    if balanced.name not in _TITLES:
        return False
    plain = {(e.method, e.selection): e.mean for e in entries if e.name == "linear_probe.top1"}
    pairs = [
        (plain.get((e.method, e.selection)), e.mean) for e in entries if e.name == balanced.name
    ]
    return any(a is not None and b is not None and abs(a - b) > BALANCED_DIFFERS for a, b in pairs)


def _rank(found: Findings, label: str, split: str) -> float:
    entry = found.entry(label, "linear_probe.top1", split, "last")
    return entry.mean if entry is not None and entry.mean is not None else -1.0


def _row(found: Findings, columns: Sequence[Column], label: str, split: str) -> Row:
    cells: list[Cell] = []
    for column in columns:
        alone = found.entry(label, column.name, split, None)
        if alone is not None:
            cells.append(_cell(alone, span=len(column.selections)))
        else:
            cells += [_cell(found.entry(label, column.name, split, s)) for s in column.selections]
    return Row(label, label == UNTRAINED, tuple(cells), _costs(found, label))


def _cell(entry: TableEntry | None, *, span: int = 1) -> Cell:
    if entry is None:
        return Cell(MISSING, span=span)
    note = f"{percent(entry.interval[0])}–{percent(entry.interval[1])}" if entry.interval else ""
    return Cell(accuracy(entry.mean, entry.sd), note, span)


def _costs(found: Findings, label: str) -> tuple[str, ...]:
    group = next((group for group in found.groups if group.label == label), None)
    times = found.entry(label, "cost.train_seconds", None, None)
    peak = found.entry(label, "cost.peak_memory_bytes", None, None)
    seeds = str(max((e.seeds for e in found.table if e.method == label and e.split), default=0))
    return (
        seeds,
        count(_views(group)) if group else MISSING,
        seconds(times.mean if times else None),
        memory(peak.mean if peak else None),
    )


def _views(group: Group) -> float | None:
    views = [
        run.results.cost.views_seen
        for run in group.complete
        if run.results.cost.views_seen is not None
    ]
    return mean(views) if views else None


def _caption(found: Findings, split: str) -> str:
    results = found.groups[0].first.results
    word = spoken_split(found)
    n = results.data.n_test if split == "test" else results.data.n_val
    images = plural(n, f"{word} image") if found.same_data and n else f"each run’s {word} images"
    seeds = max((entry.seeds for entry in found.table if entry.split == split), default=1)
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "95 % interval below"
    if seeds == 1 and not any(entry.interval for entry in found.table):
        spread = "one seed, so no spread is known"
    trained = images_of_each(
        {group.label: group.first.results.train.images or 0 for group in found.groups}
    )
    others = f"The methods were {trained}. " if trained else ""
    return (
        f"Accuracy in % on {images}; {spread}. {others}“Last epoch” and “best on validation” are"
        f" two encoders of the same run, each scored on {word} once, at the end; “untrained” is the"
        " encoder before its first step."
    )


def _protocols(found: Findings, columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    by_name: dict[str, str] = {}
    for group in found.groups:
        for run in group.runs:
            for measurement in run.results.own:
                if measurement.protocol:
                    by_name.setdefault(measurement.name, measurement.protocol)
    return tuple(
        (column.title, by_name[column.name]) for column in columns if column.name in by_name
    )
