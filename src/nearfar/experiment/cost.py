"""What a run costs, part by part: from one measured step of its encoder, until its own parts are
measured (`nearfar.experiment.forecast`).
"""

from dataclasses import dataclass

from nearfar.experiment.setup import SELECTION_BANK, ClassifierSetup, Setup
from nearfar.training.estimate import RowCost

HEADS_AND_VIEWS = 1.15  # a step beside its encoder: views, projector, loss, optimizer
SELECTED_SHARE = 0.75  # of runs whose best epoch is not the last one: its encoder is measured too
PEAK_SHARE = 1.2  # of what is kept for the backward: gradients, and what malloc cannot use
# seconds, measured on one core of 2026
EPOCH_END, WRITTEN_BYTES_A_SECOND = 0.03, 4e8
PROBES, NUMBERS_PROBED_A_SECOND = 0.5, 1.6e7  # five decays; rows x width x classes
TRIAL_BEGUN = 0.15
ONE_PROBE = 0.2  # of all that is fitted on an encoder's features
MAP, MAPPED_A_SECOND = 0.3, 700.0  # rows
REPORT, REPORTED_RUN = 0.3, 0.15


@dataclass(frozen=True)
class Parts:
    """Seconds of what a run is made of, each once."""

    step: float
    epoch: float  # its end: what is looked at, the checkpoint
    image: float  # by the frozen encoder
    probes: float  # all that is fitted on an encoder's features
    classifier: float  # the classifier stage, whole
    map: float  # of the test images, and other files of the end


@dataclass(frozen=True)
class Cost:
    """Of a run, before anything of it is measured."""

    parts: Parts
    memory_bytes: float  # of the process; on a GPU, of torch there


def modelled(setup: Setup, row: RowCost, *, width: int, held_bytes: float) -> Cost:
    """`row` is what a view of full size costs, `width` the representation's; `held_bytes` are those
    that the process, its libraries and the images take.
    """
    facts = setup.facts
    step = setup.views_a_step * row.seconds * HEADS_AND_VIEWS
    numbers = facts.n_train * width * facts.n_classes
    stage, classifier = setup.classifier, 0.0
    if stage is not None:
        shown, evaluated = _shown_by_classifier(setup, stage)
        classifier = shown * row.seconds * HEADS_AND_VIEWS + evaluated * row.evaluated_seconds
    held = min(setup.views_a_step, setup.config.train.micro_batch_size or setup.views_a_step)
    parts = Parts(
        step=step,
        epoch=EPOCH_END + row.weight_bytes / WRITTEN_BYTES_A_SECOND,
        image=row.evaluated_seconds,
        probes=PROBES + numbers / NUMBERS_PROBED_A_SECOND if measurable(setup) else 0.0,
        classifier=classifier,
        map=MAP + min(facts.n_test, setup.config.evaluate.map_rows) / MAPPED_A_SECOND,
    )
    memory = held * row.saved_bytes * PEAK_SHARE + row.weight_bytes + held_bytes
    return Cost(parts, memory)


def measurable(setup: Setup) -> bool:
    facts = setup.facts
    return bool(facts.n_train and facts.n_val and facts.n_test)


def seconds_of(setup: Setup, parts: Parts, *, floor: bool, steps: int = 0) -> float:
    """Of a run that has taken so many steps. `floor`: whether its start is measured, too, where it
    has not begun.
    """
    begun = steps // max(setup.steps_per_epoch, 1)
    epochs = setup.epochs - begun
    images = selection_images(setup) * (selections(setup) - selections(setup, until=begun))
    evaluations = 1.0 + (SELECTED_SHARE if selections(setup) > 1 else 0.0)
    if floor and setup.trains and not steps:
        evaluations += 1
    each = evaluated_images(setup) * parts.image + parts.probes
    training = (setup.epochs * setup.steps_per_epoch - steps) * parts.step + epochs * parts.epoch
    evaluation = evaluations * each if measurable(setup) else 0.0
    return training + images * parts.image + parts.classifier + evaluation + parts.map


def trial_seconds(setup: Setup, parts: Parts, epochs: int) -> float:
    """Of a trial of so many epochs, which is judged by one linear probe and writes nothing."""
    judged = selection_images(setup) * parts.image + ONE_PROBE * parts.probes
    return TRIAL_BEGUN + epochs * setup.steps_per_epoch * parts.step + judged


def evaluated_images(setup: Setup) -> int:
    """How many images are encoded to measure an encoder."""
    facts = setup.facts
    return facts.n_train + facts.n_val + facts.n_test if measurable(setup) else 0


def selection_images(setup: Setup) -> int:
    """How many images are encoded to judge an epoch."""
    facts = setup.facts
    if not measurable(setup):
        return 0
    return min(facts.n_train, SELECTION_BANK) + min(facts.n_val, SELECTION_BANK)


def selections(setup: Setup, *, until: int | None = None) -> int:
    """How many epochs are judged: of all, or of the first ones."""
    every = setup.selection_interval
    if every is None:
        return 0
    if until is None or until >= setup.epochs:
        return -(-setup.epochs // every)
    return until // every


def report_seconds(runs: int) -> float:
    return REPORT + runs * REPORTED_RUN


def _shown_by_classifier(setup: Setup, classifier: ClassifierSetup) -> tuple[float, float]:
    """Of the classifier stage: views that an encoder learns from, images that it only encodes."""
    judged = min(setup.facts.n_val, SELECTION_BANK)
    if classifier.policy is None:
        return 0.0, classifier.images + judged
    shown = classifier.epochs * classifier.steps_per_epoch * classifier.batch_size
    if not classifier.finetuned:
        return 0.0, shown + judged
    return shown, classifier.epochs * judged + setup.facts.n_test
