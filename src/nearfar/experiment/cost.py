"""What a run will cost: seconds and memory, from one measured step of its encoder."""

from dataclasses import dataclass

from nearfar.experiment.judging import SELECTION_BANK
from nearfar.experiment.setup import ClassifierSetup, Setup
from nearfar.training.estimate import RowCost

FORWARD_SHARE = 1 / 3  # of a training step


@dataclass(frozen=True)
class Estimate:
    seconds: float
    memory_bytes: float  # beside the libraries' own


def estimate(setup: Setup, view: RowCost, *, store_bytes: int, runs: int = 1) -> Estimate:
    """Of all `runs`. `view` is what a step costs for each view of full size."""
    views = setup.views_a_step * setup.steps_per_epoch * setup.epochs
    shown = views + images_evaluated(setup) * FORWARD_SHARE
    if setup.classifier is not None:
        shown += _views_of_classifier(setup, setup.classifier)
    held = min(setup.views_a_step, setup.config.train.micro_batch_size or setup.views_a_step)
    memory = held * view.saved_bytes + view.weight_bytes + store_bytes
    return Estimate(runs * shown * view.seconds, memory)


def images_evaluated(setup: Setup) -> int:
    """How many images a run's evaluations encode: three times all (once, where nothing is trained),
    and a few for each selection.
    """
    facts = setup.facts
    if not (facts.n_train and facts.n_val and facts.n_test):
        return 0
    every = setup.selection_interval
    selections = -(-setup.epochs // every) if every is not None else 0
    each = min(facts.n_train, SELECTION_BANK) + min(facts.n_val, SELECTION_BANK)
    times = 3 if setup.trains else 1
    return times * (facts.n_train + facts.n_val + facts.n_test) + selections * each


def _views_of_classifier(setup: Setup, classifier: ClassifierSetup) -> float:
    """What the classifier stage costs, in views of a training step."""
    judged = min(setup.facts.n_val, SELECTION_BANK) * FORWARD_SHARE
    if classifier.policy is None:
        return classifier.images * FORWARD_SHARE + judged
    shown = classifier.steps_per_epoch * classifier.batch_size
    if not classifier.finetuned:
        return classifier.epochs * shown * FORWARD_SHARE + judged
    return classifier.epochs * (shown + judged) + setup.facts.n_test * FORWARD_SHARE
