"""What was found, in plain sentences. Nothing is called a win that the seeds' noise could have made."""

from nearfar.report.contract import Comparison, TableEntry
from nearfar.report.formats import accuracy, percent, plural, points, spoken_list
from nearfar.report.groups import UNTRAINED, Findings, Group
from nearfar.report.read import Run
from nearfar.report.table import reported_split

_MAIN = "linear_probe.top1"


def headline(found: Findings) -> str:
    """The first sentence of the page."""
    ranked = _ranked(found)
    if not ranked:
        return _nothing_measured(found)
    if not found.same_data:
        return (
            f"These {len(found.groups)} runs were made on different data, so their numbers cannot be compared "
            "with each other; each stands for itself."
        )
    if len(ranked) == 1:
        return _one(found, ranked[0])
    return _several(found, ranked)


def _ranked(found: Findings) -> list[TableEntry]:
    split = reported_split(found)
    entries = [found.entry(group.label, _MAIN, split, "last") for group in found.groups]
    known = [entry for entry in entries if entry is not None and entry.mean is not None]
    return sorted(known, key=lambda entry: -_mean(entry))


def _mean(entry: TableEntry) -> float:
    return entry.mean if entry.mean is not None else 0.0


def _one(found: Findings, entry: TableEntry) -> str:
    run = next(group for group in found.groups if group.label == entry.method).first
    split = reported_split(found)
    n = run.results.data.n_test if split == "test" else run.results.data.n_val
    spread = ""
    if entry.sd is not None:
        spread = f" (mean ± sd over {entry.seeds} seeds)"
    elif entry.interval is not None:
        spread = f" (95 % interval {percent(entry.interval[0])}–{percent(entry.interval[1])} %)"
    return (
        f"A linear probe on the {entry.method} encoder gets {accuracy(entry.mean, entry.sd)} % of "
        f"{plural(n, f'{split} image')} right{spread}{_above_untrained(found, entry)}."
    )


def _above_untrained(found: Findings, entry: TableEntry) -> str:
    floor = found.entry(UNTRAINED, _MAIN, reported_split(found), None)
    if floor is None or floor.mean is None:
        return ""
    gain = _mean(entry) - floor.mean
    beside = f"the untrained encoder ({percent(floor.mean)} %)"
    inside = entry.interval is not None and entry.interval[0] <= floor.mean <= entry.interval[1]
    if gain <= 0:
        return f"; that is no better than {beside}, so training did not help here"
    if inside:
        return f"; {beside} lies within that interval, so training did not clearly help"
    return f", {points(gain)} above {beside}"


def _several(found: Findings, ranked: list[TableEntry]) -> str:
    best, second = ranked[0], ranked[1]
    against = _comparison(found, best.method, second.method)
    gap = _mean(best) - _mean(second)
    scores = f"{_score(best)} against {_score(second)} for {second.method}"
    over = f"mean ± sd over {best.seeds} seeds" if best.seeds > 1 else "one seed"
    where = f"linear probe, {reported_split(found)} images, {over}"
    larger = against.larger_than_noise if against is not None else None
    if larger:
        verdict = f"{best.method} won: {scores} ({where}). Its lead of {points(gap)} is larger than the seeds’ noise"
    elif larger is None:
        verdict = (
            f"{best.method} scored highest: {scores} ({where}). Whether its lead of {points(gap)} is more than "
            f"noise cannot be told {'from one seed' if best.seeds == 1 else 'from these runs'}"
        )
    else:
        verdict = (
            f"{best.method} and {second.method} are level: {scores} ({where}). The difference of {points(gap)} is "
            "no larger than the seeds’ noise"
        )
    return f"{verdict}{_above_untrained(found, best).replace(', ', '; the best is ', 1)}."


def _score(entry: TableEntry) -> str:
    return f"{accuracy(entry.mean, entry.sd)} %"


def _comparison(found: Findings, a: str, b: str) -> Comparison | None:
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
        return f"{names} trained on {images} of {results.data.name}; there are no labels, so no accuracy was measured."
    return f"{names} trained on {results.data.name}; no linear probe was measured."


def _epochs(run: Run) -> str:
    done = max((epoch.epoch for epoch in run.metrics), default=0)
    planned = run.results.train.get("epochs")
    return f"after {done} of {planned} epochs" if isinstance(planned, int) else f"after {plural(done, 'epoch')}"


def differences(found: Findings) -> list[str]:
    """What compare.json says of each pair, linear probe only, in its own words where it has some."""
    lines = []
    for c in found.comparisons:
        if c.name != _MAIN:
            continue
        if c.text or c.difference is None:
            lines.append(c.text)
            continue
        noise = {True: "larger than", False: "no larger than", None: "not to be told from"}[c.larger_than_noise]
        sign = "above" if c.difference >= 0 else "below"
        lines.append(f"{c.a} is {points(c.difference)} {sign} {c.b}: {noise} the seeds’ noise.")
    return [line for line in lines if line]


def missing(group: Group) -> list[str]:
    """What this page cannot show of a method, and why."""
    lines = []
    for run in group.runs:
        who = f"{group.label}, seed {run.results.seed}"
        data = run.results.data
        if not run.results.complete:
            lines.append(f"{who}: interrupted ({_epochs(run)}); `--resume` continues it. No measurements of it yet.")
            continue
        if not data.classes:
            lines.append(f"{who}: the data have no labels, so there are no probes and no confusion matrix.")
        elif not data.n_test:
            lines.append(f"{who}: there is no test split, so nothing is reported on test.")
        if run.rows is None:
            lines.append(f"{who}: no embeddings.npz, so no map and no pictures of mistakes.")
        if not run.metrics:
            lines.append(f"{who}: no metrics.jsonl, so no learning curves.")
        if run.encoder is None:
            lines.append(f"{who}: no encoder.json, so the lines that load the encoder are missing.")
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
            lines.append((f"{group.label}, seed {', '.join(map(str, seeds))}" if partly else group.label, text))
    return lines
