"""From several runs to one table, and to whether a difference is larger than the seeds' noise."""

import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from nearfar.core.version import __version__
from nearfar.report.formats import difference_text, signed_figure
from nearfar.report.predicting import predicting
from nearfar.report.using import best_on_validation
from nearfar.report.verdicts import FEWEST_SEEDS, have, instead, unlearned
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

MOST_SEEDS = 100  # beyond that no number is named


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
    first, best = results[0], best_on_validation(results)
    return ComparisonResults(
        nearfar=__version__,
        command=command,
        data=first.data,
        methods=tuple(methods),
        seeds=seeds,
        images={r.label: r.train.images for r in results if r.train.epochs != 0},
        table=build_table(results),
        shown=tuple(dict.fromkeys(name for result in results for name in result.shown)),
        judged_by=first.judged_by,
        floor=_start(results).title,
        comparisons=compare_pairs(results, methods),
        predicting=tuple(
            found
            for method in methods
            if (found := predicting(method, [r for r in results if r.label == method]))
        ),
        left_out=tuple(left_out),
        runs=tuple(runs),
        use=runs[best] if best is not None else None,
        report=report,
    )


def build_table(results: Sequence[Results]) -> tuple[TableEntry, ...]:
    """A line for each method, name, split and selection: mean and sd (n-1) over seeds; sd None for
    one seed.

    The untrained encoder is a line of its own; what is measured of a start is counted once, not
    once a method. What `probe` measured on other data has no place here.
    """
    values: dict[_Place, list[float | None]] = defaultdict(list)
    seen: list[tuple[Any, ...]] = []  # measurements of a start
    for result in results:
        data = result.data
        labels = (data.labels_per_class, data.label_fraction, data.label_noise)
        entries = [(result.label, m) for m in result.own]
        for m in result.untrained:
            start = (result.encoder, result.seed, labels, m.name, m.split)
            if start not in seen:
                seen.append(start)
                entries.append((UNTRAINED, m))
        for method, m in entries:
            if not isinstance(m.value, tuple):
                values[_place(method, m)].append(m.value)
        for name, (title, unit) in COSTS.items():
            cost = getattr(result.cost, name.removeprefix("cost."))
            place = _Place(result.label, name, title, None, None, unit, "lower")
            values[place].append(cost)
    ordered = sorted(values.items(), key=lambda item: item[0].method != UNTRAINED)
    return tuple(_entry(place, found) for place, found in ordered)


def _start(results: Sequence[Results]) -> Start:
    return common_start(result.encoder for result in results)


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
    number that runs are judged by, by Welch's 95 % interval over seeds. Two methods are not told
    apart where one of them has not learned.
    """
    still = {result.label for result in results if result.train.epochs == 0}
    by = results[0].judged_by
    scores: dict[str, list[float]] = {method: [] for method in methods}
    floors: dict[str, list[float]] = {method: [] for method in methods}
    unit: Unit = "fraction"
    for result in results:
        for m in result.own:
            asked = (m.name, m.split, m.selection) == (by.name, by.split, by.selection)
            if asked and result.label in scores:
                unit = m.unit
                scores[result.label] += [m.number] if m.number is not None else []
        for m in result.untrained:
            if m.name == by.name and m.number is not None and result.label in floors:
                floors[result.label].append(m.number)
    ill = {method: _unlearned(results, method) for method in methods}
    between = [
        _difference((a, b, b), (scores[a], scores[b]), by, unit, [i for i in (ill[a], ill[b]) if i])
        for a, b in combinations(methods, 2)
        if scores[a] and scores[b]
    ]
    gained = [
        _difference((a, UNTRAINED, _spoken(results, a)), (scores[a], floors[a]), by, unit, [])
        for a in methods
        if a not in still and scores[a] and floors[a]
    ]
    return (*between, *gained)


def _spoken(results: Sequence[Results], method: str) -> str:
    """What a method's runs began from, in a sentence."""
    return _start([result for result in results if result.label == method]).spoken


def _unlearned(results: Sequence[Results], method: str) -> str:
    """ "supcon has hardly learned", or ""."""
    verdict = unlearned([result for result in results if result.label == method])
    return have([method], instead(verdict)) if verdict is not None else ""


def _difference(
    pair: tuple[str, str, str],
    scores: tuple[Sequence[float], Sequence[float]],
    by: JudgedBy,
    unit: Unit,
    ill: Sequence[str],
) -> Difference:
    """`pair`: the two, and the second as it is called in a sentence. `ill`: why they are not to be
    told apart.
    """
    (a, b, called), (of_a, of_b) = pair, scores
    difference = float(np.mean(of_a) - np.mean(of_b))
    interval = welch_interval(of_a, of_b)
    larger = None if ill or interval is None else bool(interval[0] > 0 or interval[1] < 0)
    points = f"{a} minus {called}: {difference_text(difference, unit)}"
    needed = FEWEST_SEEDS if min(len(of_a), len(of_b)) < FEWEST_SEEDS else None
    if ill:
        text = f"{points}; no finding, for {' and '.join(ill)}"
    elif interval is None:
        text = f"{points}; {_too_few(min(len(of_a), len(of_b)))}"
    else:
        low, high = (signed_figure(end, unit) for end in interval)
        text = f"{points} (95 % interval {low} to {high} over seeds): "
        text += "larger than the seeds' noise" if larger else "not larger than the seeds' noise"
        if not larger and difference != 0:
            needed = seeds_needed(
                difference, float(np.std(of_a, ddof=1)), float(np.std(of_b, ddof=1))
            )
            text += _so_many(needed)
    return Difference(
        name=by.name,
        a=a,
        b=b,
        difference=difference,
        interval=interval,
        larger_than_noise=larger,
        seeds_needed=needed,
        text=text,
    )


def _too_few(seeds: int) -> str:
    if seeds >= FEWEST_SEEDS:
        return "the seeds of each are all alike, so their noise is not known"
    counted = "one seed" if seeds == 1 else "two seeds"
    return f"{counted} cannot tell it from noise, three may: --seeds {FEWEST_SEEDS}"


def _so_many(seeds: int | None) -> str:
    if seeds is None:
        return f"; more than {MOST_SEEDS} seeds would be needed to tell so small a difference"
    return f"; about {seeds} seeds would tell a difference of this size"


def seeds_needed(difference: float, sd_a: float, sd_b: float) -> int | None:
    """How many seeds of each method would tell a difference of this size from noise, if the spread
    stays: the fewest whose 95 % interval (Welch's) leaves zero out. None: more than MOST_SEEDS.
    """
    spread = math.hypot(sd_a, sd_b)
    freedom = spread**4 / (sd_a**4 + sd_b**4)  # of Welch, for each seed but one: 1 to 2
    for n in range(FEWEST_SEEDS, MOST_SEEDS + 1):
        half = stats.t.ppf(0.975, freedom * (n - 1)) * spread / math.sqrt(n)
        if half < abs(difference):
            return n
    return None


def welch_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """95 % of the difference of means, unequal variances; None with fewer than three values on a
    side, and where none of them vary, but for means that are equal too.
    """
    if min(len(a), len(b)) < FEWEST_SEEDS:
        return None
    if np.ptp(a) == np.ptp(b) == 0:
        return (0.0, 0.0) if a[0] == b[0] else None
    with warnings.catch_warnings():  # equal seeds on one side are no reason to doubt the interval
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)
