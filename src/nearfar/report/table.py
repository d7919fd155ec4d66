"""The results table: a row for each method, last and validation-selected encoder side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from nearfar.report import meanings
from nearfar.report.formats import (
    MISSING,
    capitalized,
    count,
    figure,
    headed,
    images_of_each,
    interval,
    plural,
)
from nearfar.report.groups import Findings, Group
from nearfar.report.predicting import MARK, MEANING
from nearfar.run_folder.comparison import TableEntry
from nearfar.run_folder.records import UNTRAINED, Unit

_SELECTIONS = {"last": "last epoch", "validation": "best on validation"}


@dataclass(frozen=True)
class Column:
    """One measurement; `selections` are its sub-columns."""

    name: str
    title: str
    unit: Unit
    selections: tuple[str, ...]

    @property
    def subtitles(self) -> list[str]:
        return [_SELECTIONS[selection] for selection in self.selections]


@dataclass(frozen=True)
class Cell:
    text: str
    note: str = ""  # the interval of one run
    span: int = 1
    mark: str = ""  # of what predict uses


@dataclass(frozen=True)
class Row:
    method: str
    floor: bool  # the encoder before training
    cells: tuple[Cell, ...]
    costs: tuple[str, ...]  # seeds, views shown, seconds, memory


@dataclass(frozen=True)
class ResultsTable:
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    split: str
    caption: str
    predicting: tuple[str, ...]  # what predict uses, by method
    meanings: tuple[tuple[str, str], ...]  # what each column is, and each encoder: title, sentence
    protocols: tuple[tuple[str, str], ...]  # title, protocol


def spoken_split(found: Findings) -> str:
    """The reported split as a word: "validation", not "val"."""
    split = found.reported_split()
    return "validation" if split == "val" else split


def results_table(found: Findings) -> ResultsTable | None:
    """None where nothing was measured."""
    split = found.reported_split()
    entries = [e for e in found.table if e.split == split and e.mean is not None]
    columns = _columns(entries, found.shown)
    if not columns:
        return None
    labels = [group.label for group in found.groups]
    labels += sorted({e.method for e in entries} - {*labels, UNTRAINED})
    rows = [_row(found, columns, label, split) for label in found.ranked(labels)]
    if any(e.method == UNTRAINED for e in entries):
        rows.append(_row(found, columns, UNTRAINED, split))
    return ResultsTable(
        columns,
        tuple(rows),
        split,
        _caption(found, split, columns),
        tuple(one.text for group in found.groups if (one := group.predicting) is not None),
        _meanings(found, columns),
        _protocols(found, columns),
    )


def _columns(entries: Sequence[TableEntry], shown: Sequence[str]) -> tuple[Column, ...]:
    """The shown measurements that were taken, in their order."""
    columns = []
    for name in shown:
        named = [entry for entry in entries if entry.name == name]
        if named:
            selections = {entry.selection or "last" for entry in named}
            title = capitalized(named[0].title or name)
            chosen = tuple(s for s in _SELECTIONS if s in selections)
            columns.append(Column(name, title, named[0].unit, chosen))
    if any(column.unit != "fraction" for column in columns):
        return tuple(replace(c, title=headed(c.title, c.unit)) for c in columns)
    return tuple(columns)


def _row(found: Findings, columns: Sequence[Column], label: str, split: str) -> Row:
    cells: list[Cell] = []
    for column in columns:
        alone = found.entry(label, column.name, split, None)
        if alone is not None:
            cells.append(_cell(alone, span=len(column.selections)))
        else:
            cells += [
                _marked(found, _cell(entry), entry)
                for s in column.selections
                for entry in [found.entry(label, column.name, split, s)]
            ]
    floor = label == UNTRAINED
    title = found.start.title if floor else label
    return Row(title, floor, tuple(cells), _costs(found, label))


def _cell(entry: TableEntry | None, *, span: int = 1) -> Cell:
    if entry is None:
        return Cell(MISSING, span=span)
    note = interval(entry.interval, entry.unit) if entry.interval else ""
    return Cell(figure(entry.mean, entry.unit, entry.sd), note, span)


def _marked(found: Findings, cell: Cell, entry: TableEntry | None) -> Cell:
    """With a mark, where `nearfar predict` uses that classifier in all runs of the method."""
    if entry is None or entry.selection != "last":
        return cell
    group = next((group for group in found.groups if group.label == entry.method), None)
    used = group.predicting if group is not None else None
    return replace(cell, mark=MARK) if used is not None and [*used.by] == [entry.title] else cell


def _costs(found: Findings, label: str) -> tuple[str, ...]:
    group = next((group for group in found.groups if group.label == label), None)
    times = found.entry(label, "cost.train_seconds", None, None)
    peak = found.entry(label, "cost.peak_memory_bytes", None, None)
    seeds = str(max((e.seeds for e in found.table if e.method == label and e.split), default=0))
    return (
        seeds,
        count(_views(group)) if group else MISSING,
        figure(times.mean if times else None, "seconds"),
        figure(peak.mean if peak else None, "bytes"),
    )


def _views(group: Group) -> float | None:
    views = [
        run.results.cost.views_seen
        for run in group.complete
        if run.results.cost.views_seen is not None
    ]
    return mean(views) if views else None


def _caption(found: Findings, split: str, columns: Sequence[Column]) -> str:
    results = found.groups[0].first.results
    word = spoken_split(found)
    n = results.data.n_test if split == "test" else results.data.n_val
    images = plural(n, f"{word} image") if found.same_data and n else f"each run’s {word} images"
    seeds = max((entry.seeds for entry in found.table if entry.split == split), default=1)
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "95 % interval below"
    if seeds == 1 and not any(entry.interval for entry in found.table):
        spread = "one seed, so no spread is known"
    trained = images_of_each(
        {
            group.label: group.first.results.train.images or 0
            for group in found.groups
            if group.trained
        }
    )
    unit = "In %" if all(column.unit == "fraction" for column in columns) else "Measured"
    others = f"The methods were {trained}. " if trained else ""
    once = f"Every encoder was scored on {word} once, at the end."
    return f"{unit} on {images}; {spread}. {others}{once} {MEANING}."


def _meanings(found: Findings, columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    told = [(column.title, meanings.of_column(column.name)) for column in columns]
    selections = dict.fromkeys(s for column in columns for s in column.selections)
    told += [(_SELECTIONS[s], meanings.ENCODERS[s]) for s in selections]
    told.append((found.start.title, meanings.ENCODERS[UNTRAINED]))
    return tuple((capitalized(title), sentence) for title, sentence in told if sentence)


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
