"""What was found, in plain sentences. Nothing is called a win that the seeds' noise could have
made.
"""

from dataclasses import dataclass

from nearfar.report.formats import (
    apart,
    capitalized,
    interval,
    plural,
    quantity,
    signed,
    spoken_list,
)
from nearfar.report.groups import Findings, Group
from nearfar.report.read import Run
from nearfar.report.table import spoken_split
from nearfar.report.verdicts import (
    FEWEST_SEEDS,
    advice_on,
    advice_to,
    have_not_learned,
    none_improved,
    unlearned_methods,
)
from nearfar.run_folder.comparison import Difference, TableEntry
from nearfar.run_folder.names import EMBEDDINGS, ENCODER_CONFIG, METRICS
from nearfar.run_folder.records import UNTRAINED, Unit, Verdict

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
    if ill := unlearned_methods(found):
        return _unlearned(found, ranked, ill)
    sentence = _one(found, ranked[0]) if len(ranked) == 1 else _several(found, ranked)
    if none_improved(found):
        sentence = " ".join([sentence, *advice_on(found)])
    return Headline(sentence, _details(found, ranked))


def _unlearned(found: Findings, ranked: list[TableEntry], ill: dict[str, Verdict]) -> Headline:
    """What cannot be compared and what to type; then what can be said of the others."""
    data = found.groups[0].first.results.data.name
    others = [entry for entry in ranked if entry.method not in ill]
    compared = len(found.groups) > 1
    with_it = (" with it" if len(ill) == 1 else " with them") if len(others) > 1 else ""
    no = f"; no comparison{with_it} yet" if compared else ""
    trained = sum(group.trained for group in found.groups)
    advice = advice_to(ill, compared=trained > 1)
    sentence = f"{have_not_learned(ill)} on {data}{no}. {advice}".rstrip()
    first = f"Of the others: {_several(found, others)} " if len(others) > 1 else ""
    return Headline(sentence, first + _details(found, others or ranked[:1]))


def _ranked(found: Findings) -> list[TableEntry]:
    labels = found.ranked([group.label for group in found.groups])
    return [entry for label in labels if (entry := found.judged(label)) is not None]


def _one(found: Findings, entry: TableEntry) -> str:
    data = found.groups[0].first.results.data.name
    says = f"On {data}, the {entry.method} encoder gets {_score(entry)}{_right(found, entry)}"
    if not found.groups[0].trained:
        return f"{says}; nothing was trained."
    if (floor := found.judged(UNTRAINED)) is None:
        return f"{says}."
    return f"{says}{_gain(found, entry, floor)}."


def _right(found: Findings, entry: TableEntry) -> str:
    """What a score is of: " of the test images right", or " (calibration) on the test images"."""
    images = f"the {spoken_split(found)} images"
    if entry.unit == "fraction" and entry.better == "higher":
        return f" of {images} right"
    return f" ({entry.title}) on {images}"


def _most(best: TableEntry) -> str:
    return "lowest" if best.better == "lower" else "highest"


def _better(entry: TableEntry) -> str:
    return "less" if entry.better == "lower" else "more"


def _gain(found: Findings, entry: TableEntry, floor: TableEntry) -> str:
    gain, more, start = found.gain(entry, floor), _better(entry), found.start.spoken
    if gain <= 0:
        return f", no {more} than {start} ({_score(floor)}): training did not help"
    against = _comparison(found, entry.method, UNTRAINED)
    inside = entry.interval is not None and entry.interval[0] <= (floor.mean or 0.0)
    if entry.interval is not None and entry.better == "lower":
        inside = entry.interval[1] >= (floor.mean or 0.0)
    if inside or (against is not None and against.larger_than_noise is False):
        return f", not clearly {more} than {start} ({_score(floor)})"
    return f", {apart(gain, entry.unit)} {_side(entry)} {start}"


def _side(entry: TableEntry, *, worse: bool = False) -> str:
    """Where a better number lies, or a worse one."""
    return "below" if (entry.better == "lower") is not worse else "above"


def _several(found: Findings, ranked: list[TableEntry]) -> str:
    best, second = ranked[0], ranked[1]
    data = found.groups[0].first.results.data.name
    floor = found.judged(UNTRAINED)
    labels = [entry.method for entry in ranked]
    if floor is not None and (best_trained := none_improved(found, labels)):
        best = best_trained
        lost = found.gain(floor, best)
        gap = f"{apart(lost, best.unit)} {_side(floor, worse=True)}" if lost else "as much as"
        return (
            f"No method improved on {found.start.spoken} on {data}: {best.method}, the best, gets"
            f" {_score(best)}{_right(found, best)}, {gap} {found.start.spoken} ({_score(floor)})."
        )
    level = [best] + [entry for entry in ranked[1:] if _larger(found, best, entry) is False]
    if _larger(found, best, second) is False:
        return _level(found, level)
    if best.mean == second.mean:
        return (
            f"{best.method} and {second.method} are level on {data}: both get"
            f" {_score(best)}{_right(found, best)}."
        )
    against = f"{_score(best)}{_right(found, best)} against {_score(second)} for {second.method}"
    if _larger(found, best, second):
        more = f"{against}, which is more than the seeds’ noise"
        if len(level) == 1:
            return f"{best.method} won on {data}: {more}."
        others = spoken_list([f"{entry.method} ({_score(entry)})" for entry in level[1:]])
        return f"{best.method} scored {_most(best)} on {data}: {more}; against {others} it is not."
    seeds = {1: "one seed", 2: "two seeds"}.get(best.seeds, "these runs")
    unknown = f"{seeds} cannot tell whether that is more than noise"
    if best.seeds < FEWEST_SEEDS:
        unknown += f"; three may (--seeds {FEWEST_SEEDS})"
    return f"{best.method} scored {_most(best)} on {data}: {against}; {unknown}."


def _level(found: Findings, level: list[TableEntry]) -> str:
    """Of methods that are no more apart than the seeds' noise, the best first."""
    best, data = level[0], found.groups[0].first.results.data.name
    if len(level) > LISTED:
        others = spoken_list(
            [*(entry.method for entry in level[1:LISTED]), f"{len(level) - LISTED} more"]
        )
        first = f"{best.method} scored {_most(best)} on {data}, {_score(best)}{_right(found, best)}"
        return f"{first}, but {others} are level with it, no more apart than the seeds’ noise."
    names = spoken_list([entry.method for entry in level])
    scores = spoken_list([_score(entry) for entry in level])
    return (
        f"{names} are level on {data}: {scores}{_right(found, best)}, no more apart than the"
        " seeds’ noise."
    )


def _details(found: Findings, ranked: list[TableEntry]) -> str:
    best = ranked[0]
    data = found.groups[0].first.results.data
    n = data.n_test if found.reported_split() == "test" else data.n_val
    images = plural(n, f"{spoken_split(found)} image")
    spread = (
        f", mean ± standard deviation over {best.seeds} seeds" if best.seeds > 1 else ", one seed"
    )
    if len(ranked) == 1 and best.interval is not None:
        spread += f", 95 % interval {interval(best.interval, best.unit, word=True)}"
    title = capitalized(best.title or best.name)
    trained = any(group.trained for group in found.groups)
    encoder = "the last epoch’s encoder" if trained else found.start.spoken
    lines = [f"{title} on {encoder}, {images}{spread}."]
    if len(ranked) > 1:
        gap = apart(found.gain(best, ranked[1]), best.unit)
        noise = _interval(_comparison(found, best.method, ranked[1].method), best.unit)
        lines.append(f"{best.method} is {gap} {_side(best)} {ranked[1].method}{noise}.")
    floor = found.judged(UNTRAINED)
    if floor is not None and (gain := found.gain(best, floor)) > 0:
        there = f"; {best.method} is {apart(gain, best.unit)} {_side(best)} it"
        above = there if len(ranked) > 1 else ""
        start = found.start.spoken
        got = "get" if start.endswith("s") else "gets"
        lines.append(f"{capitalized(start)} {got} {_score(floor)}{above}.")
    return " ".join(lines)


def _interval(comparison: Difference | None, unit: Unit) -> str:
    """Of the difference of the best and the other, so turned that it has the sign of the gap."""
    if comparison is None or comparison.interval is None or comparison.difference is None:
        return ""
    low, high = sorted(comparison.interval)
    if comparison.difference < 0:
        low, high = -high, -low
    return f" (interval {signed(low, unit)} to {signed(high, unit)})"


def _score(entry: TableEntry) -> str:
    return quantity(entry.mean, entry.unit, entry.sd)


def _larger(found: Findings, a: TableEntry, b: TableEntry) -> bool | None:
    comparison = _comparison(found, a.method, b.method)
    return comparison.larger_than_noise if comparison is not None else None


def _comparison(found: Findings, a: str, b: str) -> Difference | None:
    for comparison in found.comparisons:
        if comparison.name == found.judged_by.name and {comparison.a, comparison.b} == {a, b}:
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
    return f"{names} trained on {results.data.name}; {found.judged_by.name} was not measured."


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
    by = sorted({results.confusion.by for results in runs if results.confusion is not None})
    return " or ".join(f"the {title}" for title in by) or "the linear probe"


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
            f"{who}: {m.title or m.name} is {quantity(m.number, m.unit)} on {m.data}, which is"
            " other data than the table’s."
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
        if not run.metrics and group.trained:
            lines.append(f"{who}: no {METRICS}, so no learning curves.")
        if run.encoder is None:
            missing = ENCODER_CONFIG.as_posix()
            lines.append(f"{who}: no {missing}, so the lines that load the encoder are missing.")
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
