"""From a frozen encoder to all of its measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.core.own import is_own
from nearfar.evaluate import EVALUATORS, evaluator_class
from nearfar.evaluate.accuracy import UNSEEN
from nearfar.evaluate.base import Classified, Context, Evaluator, Outcome
from nearfar.run_folder.records import Measurement


@dataclass(frozen=True)
class Measured:
    """What each evaluator found, in the order of the table."""

    outcomes: tuple[tuple[type[Evaluator], Outcome], ...]

    @property
    def measurements(self) -> list[Measurement]:
        return [m for _, outcome in self.outcomes for m in outcome.measurements]

    @property
    def shown(self) -> list[str]:
        """The names that summaries show, in order."""
        names: list[str] = []
        for kind, outcome in self.outcomes:
            found = {m.name for m in outcome.measurements}
            shown = (kind.main, f"{kind.main}{UNSEEN}", *outcome.also_shown)
            names += [name for name in shown if name in found]
        return list(dict.fromkeys(names))

    @property
    def candidates(self) -> list[Classified]:
        """The classifiers that evaluators hand on."""
        return [outcome.classified for _, outcome in self.outcomes if outcome.classified]

    @property
    def classified(self) -> Classified | None:
        """By the classifier that serves for predictions: the best on validation; of equals the
        first.
        """
        return max(self.candidates, key=lambda made: made.top1_val, default=None)

    def by_probes(self) -> list[Measurement]:
        """Without those of classifiers that training left behind: what a twin that has the encoder
        alone would measure.
        """
        return [
            m
            for kind, outcome in self.outcomes
            if not kind.needs & {"head", "classifier"}
            for m in outcome.measurements
        ]


def measure(
    context: Context, probes: Sequence[str], settings: Mapping[str, Mapping[str, Any]] | None = None
) -> Measured:
    """By the evaluators of these names, and by those of what the run itself trained. `settings`, by
    name, are those that are not the evaluator's own.
    """
    chosen = settings or {}
    asked = [
        (kind, kind(kind.Config.model_validate(dict(chosen.get(name, {})))))
        for name, kind in _kinds(probes).items()
        if kind.needs <= context.has
    ]
    return Measured(tuple((kind, evaluator.run(context)) for kind, evaluator in asked))


def judged_by(probes: Sequence[str]) -> str:
    """The name of the one measurement that encoders are judged by: the main one of the first of
    these evaluators in the order of the table, else of the first of the whole table.
    """
    named = [kind for kind in _kinds(probes).values() if kind.when != "if_present"]
    return next(kind.main for kind in [*named, *_kinds(list(EVALUATORS)).values()] if kind.main)


def _kinds(probes: Sequence[str]) -> dict[str, type[Evaluator]]:
    """The classes by the names that they were asked for by, in the order of the table."""
    own = [name for name in probes if is_own(name)]
    kinds = {name: evaluator_class(name) for name in (*EVALUATORS, *own)}
    return {
        name: kind for name, kind in kinds.items() if name in probes or kind.when == "if_present"
    }
