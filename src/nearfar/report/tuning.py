"""What was tried for each method before its runs, and chosen: one table, one sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nearfar.report.formats import MISSING, figure, plural, quantity, seconds
from nearfar.run_folder.comparison import Tuning


@dataclass(frozen=True)
class TuningRow:
    """`trials` is every trial, as text: settings, epochs, score."""

    method: str
    chosen: str
    score: str
    defaults: str
    default_score: str
    tried: str
    cost: str
    trials: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class TuningTable:
    rows: tuple[TuningRow, ...]
    caption: str


def tuning_table(found: Sequence[Tuning]) -> TuningTable | None:
    """None where nothing was tuned."""
    if not found:
        return None
    judged = next((tuning.judged_by for tuning in found if tuning.judged_by), "")
    return TuningTable(
        tuple(_row(tuning) for tuning in found),
        f"In %, by the {judged}, seed 0. Each method had the same number of trials of the same"
        " lengths; the better half of each length went on to the next, the defaults to the last."
        " No trial saw the test images. The best of several scores on the same images flatters a"
        " little; the results on test do not.",
    )


def outcome(tuning: Tuning) -> str:
    """'optimizer.lr 0.31 (91.2 %; defaults 88.0 %), 14 trials, 34 s'."""
    if not tuning.trials:
        return "nothing to tune, all was given"
    tried = f"{plural(len(tuning.trials), 'trial')}, {seconds(tuning.seconds)}"
    if tuning.score is None:
        return f"all lost, so the defaults; {tried}"
    scored = quantity(tuning.score, "fraction")
    if tuning.chosen == tuning.defaults:
        return f"the defaults ({scored}); {tried}"
    against = (
        f"defaults {quantity(tuning.default_score, 'fraction')}"
        if tuning.default_score is not None
        else "the defaults lost"
    )
    return f"{settings_text(tuning.chosen)} ({scored}; {against}); {tried}"


def settings_text(settings: Mapping[str, float]) -> str:
    """'optimizer.lr 0.31, views.strength 1.2'."""
    return ", ".join(f"{path} {value:.3g}" for path, value in settings.items()) or MISSING


def _row(tuning: Tuning) -> TuningRow:
    lengths = Counter(trial.epochs for trial in tuning.trials)
    tried = [f"{count} of {plural(epochs, 'epoch')}" for epochs, count in lengths.items()]
    lost = sum(trial.score is None for trial in tuning.trials)
    kept = tuning.chosen == tuning.defaults
    return TuningRow(
        method=tuning.method,
        chosen="the defaults" if kept else settings_text(tuning.chosen),
        score=figure(tuning.score, "fraction"),
        defaults=settings_text(tuning.defaults),
        default_score=_shown(tuning.default_score, bool(tuning.trials)),
        tried=", ".join(tried) + (f"; {lost} lost" if lost else "") if tried else "none",
        cost=seconds(tuning.seconds),
        trials=tuple(
            (
                settings_text(trial.settings),
                plural(trial.epochs, "epoch"),
                _shown(trial.score, bool(trial.lost)) + (f": {trial.lost}" if trial.lost else ""),
            )
            for trial in tuning.trials
        ),
    )


def _shown(score: float | None, tried: bool) -> str:
    return "lost" if tried and score is None else figure(score, "fraction")
