"""What was found, in plain sentences. Nothing is called a win that the seeds' noise could have
made.
"""

from dataclasses import dataclass

from nearfar.report.formats import accuracy, percent, plural, points, signed, spoken_list
from nearfar.report.groups import UNTRAINED, Findings, Group
from nearfar.report.read import Run
from nearfar.report.table import reported_split, spoken_split
from nearfar.run_folder.comparison import Difference, TableEntry
from nearfar.run_folder.names import EMBEDDINGS, ENCODER_JSON, METRICS

_MAIN = "linear_probe.top1"
LISTED = 4  # methods that a sentence names with their scores


@dataclass(frozen=True)
class Headline:
    """The first sentence of the page, and what stands behind it."""

    sentence: str
    details: str = ""


def headline(found: Findings) -> Headline:
    """Which method won, by how much, and whether that means anything; of one method, what training
    bought.
    """
    ranked = _ranked(found)
    if not ranked:
        return Headline(_nothing_measured(found))
    if not found.same_data:
        return Headline(
            f"These {len(found.groups)} runs were made on different data: their numbers do not"
            " compare."
        )
    sentence = _one(found, ranked[0]) if len(ranked) == 1 else _several(found, ranked)
    return Headline(sentence, _details(found, ranked))


def _ranked(found: Findings) -> list[TableEntry]:
    split = reported_split(found)
    entries = [found.entry(group.label, _MAIN, split, "last") for group in found.groups]
    known = [entry for entry in entries if entry is not None and entry.mean is not None]
    return sorted(known, key=lambda entry: -_mean(entry))


def _mean(entry: TableEntry) -> float:
    return entry.mean if entry.mean is not None else 0.0


def _floor(found: Findings) -> TableEntry | None:
    floor = found.entry(UNTRAINED, _MAIN, reported_split(found), None)
    return floor if floor is not None and floor.mean is not None else None


def _one(found: Findings, entry: TableEntry) -> str:
    data = found.groups[0].first.results.data.name
    images = f"{spoken_split(found)} images"
    says = f"On {data}, the {entry.method} encoder gets {_score(entry)} of the {images} right"
    if (floor := _floor(found)) is None:
        return f"{says}."
    return f"{says}{_gain(found, entry, floor)}."


def _gain(found: Findings, entry: TableEntry, floor: TableEntry) -> str:
    gain = _mean(entry) - _mean(floor)
    if gain <= 0:
        return f", no more than the untrained encoder ({_score(floor)}): training did not help"
    against = _comparison(found, entry.method, UNTRAINED)
    inside = entry.interval is not None and entry.interval[0] <= _mean(floor)
    if inside or (against is not None and against.larger_than_noise is False):
        return f", not clearly more than the untrained encoder ({_score(floor)})"
    return f", {points(gain)} above the untrained encoder"


def _several(found: Findings, ranked: list[TableEntry]) -> str:
    best, second = ranked[0], ranked[1]
    data = found.groups[0].first.results.data.name
    floor = _floor(found)
    if floor is not None and _mean(best) <= _mean(floor):
        return (
            f"No method beat the untrained encoder on {data}: {best.method}, the best, gets"
            f" {_score(best)} of the {spoken_split(found)} images right, the untrained encoder"
            f" {_score(floor)}."
        )
    level = [best] + [entry for entry in ranked[1:] if _larger(found, best, entry) is False]
    right = f"of the {spoken_split(found)} images right"
    if _larger(found, best, second) is False:
        if len(level) > LISTED:
            others = spoken_list(
                [*(entry.method for entry in level[1:LISTED]), f"{len(level) - LISTED} more"]
            )
            highest = f"{best.method} scored highest on {data}, {_score(best)} {right}"
            return (
                f"{highest}, but {others} are level with it, no more apart than the seeds’ noise."
            )
        names = spoken_list([entry.method for entry in level])
        scores = spoken_list([_score(entry) for entry in level])
        return (
            f"{names} are level on {data}: {scores} {right}, no more apart than the seeds’ noise."
        )
    if _mean(best) == _mean(second):
        return (
            f"{best.method} and {second.method} are level on {data}: both get {_score(best)}"
            f" {right}."
        )
    scores = f"{_score(best)} {right} against {_score(second)} for {second.method}"
    if _larger(found, best, second):
        return f"{best.method} won on {data}: {scores}, which is more than the seeds’ noise."
    seeds = "one seed" if best.seeds == 1 else "these runs"
    unknown = f"{seeds} cannot tell whether that is more than noise"
    return f"{best.method} scored highest on {data}: {scores}; {unknown}."


def _details(found: Findings, ranked: list[TableEntry]) -> str:
    best = ranked[0]
    split = reported_split(found)
    data = found.groups[0].first.results.data
    images = plural(data.n_test if split == "test" else data.n_val, f"{spoken_split(found)} image")
    spread = (
        f", mean ± standard deviation over {best.seeds} seeds" if best.seeds > 1 else ", one seed"
    )
    if len(ranked) == 1 and best.interval is not None:
        spread += f", 95 % interval {percent(best.interval[0])}–{percent(best.interval[1])} %"
    lines = [f"Linear probe on the last epoch’s encoder, {images}{spread}."]
    if len(ranked) > 1:
        gap = f"{best.method} is {points(_mean(best) - _mean(ranked[1]))} above {ranked[1].method}"
        lines.append(f"{gap}{_interval(_comparison(found, best.method, ranked[1].method))}.")
    if (floor := _floor(found)) is not None and _mean(best) > _mean(floor):
        above = (
            f"; {best.method} is {points(_mean(best) - _mean(floor))} above it"
            if len(ranked) > 1
            else ""
        )
        lines.append(f"The untrained encoder gets {_score(floor)}{above}.")
    return " ".join(lines)


def _interval(comparison: Difference | None) -> str:
    if comparison is None or comparison.interval is None or comparison.difference is None:
        return ""
    low, high = sorted(comparison.interval)
    if comparison.difference < 0:
        low, high = -high, -low
    return f" (interval {signed(low)} to {signed(high)})"


def _score(entry: TableEntry) -> str:
    return f"{accuracy(entry.mean, entry.sd)} %"


def _larger(found: Findings, a: TableEntry, b: TableEntry) -> bool | None:
    comparison = _comparison(found, a.method, b.method)
    return comparison.larger_than_noise if comparison is not None else None


def _comparison(found: Findings, a: str, b: str) -> Difference | None:
    for comparison in found.comparisons:
        if comparison.name == _MAIN and {comparison.a, comparison.b} == {a, b}:
            return comparison
    return None


def _nothing_measured(found: Findings) -> str:
    stopped = [run for group in found.groups for run in group.runs if not run.results.complete]
    names = spoken_list([group.label for group in found.groups])
    if stopped:
        return f"{names}: interrupted before anything was measured ({_epochs(stopped[0])})."
    results = found.groups[0].first.results
    if not results.data.classes:
        images = plural(results.data.n_unlabeled + results.data.n_train, "image")
        trained = f"{names} trained on {images} of {results.data.name}"
        return f"{trained}; there are no labels, so no accuracy was measured."
    return f"{names} trained on {results.data.name}; no linear probe was measured."


def _epochs(run: Run) -> str:
    done = max((epoch.epoch for epoch in run.metrics), default=0)
    planned = run.results.train.epochs
    return (
        f"after {done} of {planned} epochs"
        if planned is not None
        else f"after {plural(done, 'epoch')}"
    )


def classified_by(found: Findings) -> str:
    """What the predictions of matrices, maps and mistakes are made by."""
    runs = [run.results for group in found.groups for run in group.runs]
    by = {results.confusion.by for results in runs if results.confusion is not None}
    if "classifier" not in by:
        return "the linear probe"
    return (
        "the classifier stage"
        if len(by) == 1
        else "the classifier stage (the linear probe, where there was none)"
    )


def missing(group: Group) -> list[str]:
    """What this page cannot show of a method, and why."""
    lines = []
    for run in group.runs:
        who = f"{group.label}, seed {run.results.seed}"
        data = run.results.data
        if not run.results.complete:
            lines.append(
                f"{who}: interrupted ({_epochs(run)}); `--resume` continues it. No measurements of"
                " it yet."
            )
            continue
        lines += [
            f"{who}: {m.name} is {percent(m.number)} % on {m.data}, which is other data than the"
            " table’s."
            for m in run.results.measurements
            if m.data and m.number is not None
        ]
        if not data.classes:
            lines.append(
                f"{who}: the data have no labels, so there are no probes and no confusion matrix."
            )
        elif not data.n_test:
            lines.append(f"{who}: there is no test split, so nothing is reported on test.")
        if run.rows is None:
            lines.append(f"{who}: no {EMBEDDINGS}, so no map and no pictures of mistakes.")
        if not run.metrics:
            lines.append(f"{who}: no {METRICS}, so no learning curves.")
        if run.encoder is None:
            lines.append(
                f"{who}: no {ENCODER_JSON}, so the lines that load the encoder are missing."
            )
    return lines


def diagnosis(found: Findings) -> list[tuple[str, str]]:
    """(method, line); a line that several seeds share stands once."""
    lines = []
    for group in found.groups:
        said: dict[str, list[int]] = {}
        for run in group.runs:
            for text in run.results.diagnosis:
                said.setdefault(text, []).append(run.results.seed)
        for text, seeds in said.items():
            partly = len(group.runs) > 1 and len(seeds) < len(group.runs)
            lines.append(
                (
                    f"{group.label}, seed {', '.join(map(str, seeds))}" if partly else group.label,
                    text,
                )
            )
    return lines
