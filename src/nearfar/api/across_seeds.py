"""From several runs to one table, and to whether a difference is larger than the seeds' noise."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from nearfar.core.version import __version__
from nearfar.report.formats import difference_text, signed_figure
from nearfar.run_folder.comparison import (
    COSTS,
    ComparisonResults,
    Difference,
    LeftOut,
    TableEntry,
)
from nearfar.run_folder.records import (
    UNTRAINED,
    Better,
    JudgedBy,
    Measurement,
    Results,
    Selection,
    Start,
    Unit,
    common_start,
)


class _Place(NamedTuple):
    """What a line of the table is about; measurements that share it are one line."""

    method: str
    name: str
    title: str
    split: str | None
    selection: Selection | None
    unit: Unit
    better: Better | None


def summarize(
    results: Sequence[Results],
    *,
    methods: Sequence[str],
    seeds: int,
    left_out: Sequence[LeftOut],
    runs: Sequence[str],
    command: str,
    report: str,
) -> ComparisonResults:
    """The content of compare.json; `runs` are the folders of `results`."""
    first = results[0]
    return ComparisonResults(
        nearfar=__version__,
        command=command,
        data=first.data,
        methods=tuple(methods),
        seeds=seeds,
        images={r.method: r.train.images for r in results if r.train.epochs != 0},
        table=build_table(results),
        shown=tuple(dict.fromkeys(name for result in results for name in result.shown)),
        judged_by=first.judged_by,
        floor=_start(results).title,
        comparisons=compare_pairs(results, methods),
        left_out=tuple(left_out),
        runs=tuple(runs),
        report=report,
    )


def build_table(results: Sequence[Results]) -> tuple[TableEntry, ...]:
    """A line for each method, name, split and selection: mean and sd (n-1) over seeds; sd None for
    one seed.

    The untrained encoder is a line of its own; its seeds are counted once, not once a method. What
    `probe` measured on other data has no place here.
    """
    values: dict[_Place, list[float | None]] = defaultdict(list)
    seen: set[int] = set()
    for result in results:
        entries = [(result.method, m) for m in result.own]
        if result.seed not in seen and result.untrained:
            seen.add(result.seed)
            entries = [(UNTRAINED, m) for m in result.untrained] + entries
        for method, m in entries:
            if not isinstance(m.value, tuple):
                values[_place(method, m)].append(m.value)
        for name, (title, unit) in COSTS.items():
            cost = getattr(result.cost, name.removeprefix("cost."))
            place = _Place(result.method, name, title, None, None, unit, "lower")
            values[place].append(cost)
    ordered = sorted(values.items(), key=lambda item: item[0].method != UNTRAINED)
    return tuple(_entry(place, found) for place, found in ordered)


def _start(results: Sequence[Results]) -> Start:
    return common_start(result.encoder.start for result in results)


def _place(method: str, m: Measurement) -> _Place:
    return _Place(method, m.name, m.title, m.split, m.selection, m.unit, m.better)


def _entry(place: _Place, found: Sequence[float | None]) -> TableEntry:
    numbers = [value for value in found if value is not None]
    return TableEntry(
        **place._asdict(),
        mean=float(np.mean(numbers)) if numbers else None,
        sd=float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        seeds=len(found),
    )


def compare_pairs(results: Sequence[Results], methods: Sequence[str]) -> tuple[Difference, ...]:
    """Each pair of methods, then each method that trains and the encoder before training, on the
    number that runs are judged by, by Welch's 95 % interval over seeds.
    """
    still = {result.method for result in results if result.train.epochs == 0}
    called = {UNTRAINED: _start(results).spoken}
    by = results[0].judged_by
    scores: dict[str, list[float]] = {method: [] for method in methods}
    floors: dict[int, float] = {}
    unit: Unit = "fraction"
    for result in results:
        for m in result.own:
            asked = (m.name, m.split, m.selection) == (by.name, by.split, by.selection)
            if asked and result.method in scores:
                unit = m.unit
                scores[result.method] += [m.number] if m.number is not None else []
        for m in result.untrained:
            if m.name == by.name and m.number is not None:
                floors[result.seed] = m.number
    scores[UNTRAINED] = list(floors.values())
    trained = [method for method in methods if method not in still]
    pairs = [*combinations(methods, 2), *((method, UNTRAINED) for method in trained)]
    found = [(a, b, f"{a} minus {called.get(b, b)}") for a, b in pairs if scores[a] and scores[b]]
    return tuple(_difference(pair, scores[pair[0]], scores[pair[1]], by, unit) for pair in found)


def _difference(
    pair: tuple[str, str, str],
    of_a: Sequence[float],
    of_b: Sequence[float],
    by: JudgedBy,
    unit: Unit,
) -> Difference:
    a, b, said = pair
    difference = float(np.mean(of_a) - np.mean(of_b))
    interval = welch_interval(of_a, of_b)
    larger = None if interval is None else bool(interval[0] > 0 or interval[1] < 0)
    points = f"{said}: {difference_text(difference, unit)}"
    if interval is None:
        text = f"{points}; one seed cannot tell it from noise"
    else:
        verdict = "larger than" if larger else "not larger than"
        low, high = (signed_figure(end, unit) for end in interval)
        text = f"{points} (95 % interval {low} to {high} over seeds): {verdict} the seeds' noise"
    return Difference(
        name=by.name,
        a=a,
        b=b,
        difference=difference,
        interval=interval,
        larger_than_noise=larger,
        text=text,
    )


def welch_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """95 % of the difference of means, unequal variances; None with fewer than two values on a
    side.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    if np.var(a) == np.var(b) == 0:
        difference = float(np.mean(a) - np.mean(b))
        return difference, difference
    with warnings.catch_warnings():  # equal seeds on one side are no reason to doubt the interval
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)
