"""From a frozen encoder to all of its measurements."""

from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.core.own import is_own
from nearfar.evaluate import EVALUATORS, evaluator_class
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
            names += [name for name in (kind.main, *outcome.also_shown) if name in found]
        return names

    @property
    def classified(self) -> Classified | None:
        """By the classifier that serves for predictions: the one that a classifier stage trained,
        else the last that an evaluator hands on.
        """
        made = [(kind, outcome) for kind, outcome in self.outcomes if outcome.classified]
        trained = [outcome for kind, outcome in made if "classifier" in kind.needs]
        chosen = [outcome for _, outcome in made] + trained
        return chosen[-1].classified if chosen else None

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


def measure(context: Context, probes: Sequence[str]) -> Measured:
    """By the evaluators of these names, and by those of what the run itself trained."""
    asked = [kind for kind in _kinds(probes) if kind.needs <= context.has]
    return Measured(tuple((kind, kind(kind.Config()).run(context)) for kind in asked))


def judged_by(probes: Sequence[str]) -> str:
    """The name of the one measurement that encoders are judged by: the main one of the first of
    these evaluators in the order of the table, else of the first of the whole table.
    """
    named = [kind for kind in _kinds(probes) if kind.when != "if_present"]
    return next(kind.main for kind in [*named, *_kinds(list(EVALUATORS))] if kind.main)


def _kinds(probes: Sequence[str]) -> list[type[Evaluator]]:
    own = [name for name in probes if is_own(name)]
    kinds = [(name, evaluator_class(name)) for name in (*EVALUATORS, *own)]
    return [kind for name, kind in kinds if name in probes or kind.when == "if_present"]
