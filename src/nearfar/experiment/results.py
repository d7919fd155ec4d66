"""The content of results.json: every number with protocol, split, n, seed, seconds, peak memory."""

from dataclasses import dataclass

from nearfar.core.version import __version__
from nearfar.data.check import thin_splits
from nearfar.experiment.evaluation import Evaluated, Evaluation
from nearfar.experiment.grouping import n_test_seen, seen_lines, without_seen
from nearfar.experiment.labeling import selection_line
from nearfar.experiment.refusals import why_not_by_class
from nearfar.experiment.setup import Setup
from nearfar.nn.encoders import Encoder
from nearfar.run_folder.records import (
    Cost,
    DataSummary,
    EncoderSummary,
    Measurement,
    Results,
    TrainSummary,
    Verdict,
    ViewsSummary,
)
from nearfar.training.checkpoint import Counters


@dataclass(frozen=True)
class Process:
    """What is known of a run beside its setup and its measurements."""

    command: str
    verdicts: tuple[Verdict, ...]
    peak_memory_bytes: int | None


def make_results(
    evaluation: Evaluation,
    encoder: Encoder,
    counters: Counters,
    evaluated: Evaluated | None,
    untrained: tuple[Measurement, ...],
    process: Process,
) -> Results:
    """`evaluated` is None for a run that is not complete."""
    setup, done = evaluation.setup, evaluated or Evaluated()
    trained = done.trained
    return Results(
        nearfar=__version__,
        method=setup.method_name,
        recipe=setup.recipe,
        seed=setup.seed,
        complete=evaluated is not None,
        command=process.command,
        data=_data(evaluation),
        encoder=_encoder(evaluation, encoder),
        views=_views(setup),
        train=_train(setup),
        classifier=setup.config.sections().get("classifier"),
        measurements=tuple(done.measurements),
        untrained=untrained,
        shown=tuple(done.shown),
        judged_by=evaluation.judged_by,
        confusion=done.confusion,
        predicted_by=done.predicted_by,
        cost=Cost(
            train_seconds=round(counters.train_seconds, 3),
            classifier_seconds=round(trained.seconds, 3) if trained is not None else None,
            total_seconds=round(counters.total_seconds, 3),
            peak_memory_bytes=process.peak_memory_bytes,
            views_seen=counters.views_seen,
            steps=counters.step,
            selected_epoch=counters.best_epoch or None,
        ),
        verdicts=process.verdicts,
        diagnosis=(
            *(verdict.text for verdict in process.verdicts),
            *_diagnosis(evaluation, counters, complete=evaluated is not None),
            *seen_lines(evaluation.data, setup),
            *without_seen(done.measurements),
        ),
    )


def steps_left_out(setup: Setup, counters: Counters) -> str:
    """How many steps taught nothing, and what to do about it."""
    by_class = setup.sampling.by_class or why_not_by_class(setup.method, setup.facts) is not None
    offer = "" if by_class else " or data.sampling=balanced"
    return (
        f"{counters.steps_without_pair:,} of {counters.step:,} steps were left out: their batches"
        f" of {setup.batch_size} held no pair that {setup.method_name} could learn from; a larger"
        f" train.batch_size{offer} makes them fewer"
    )


def _diagnosis(evaluation: Evaluation, counters: Counters, *, complete: bool) -> list[str]:
    found, setup = [], evaluation.setup
    if counters.steps_without_pair:
        found.append(steps_left_out(setup, counters))
    if not setup.trains:
        found.append("nothing was trained: the given weights were measured as they are")
    if (reason := evaluation.unmeasurable()) is not None:
        found.append(
            f"{reason}: nothing measured; probe it with `nearfar probe RUN --data LABELED`"
        )
    elif not setup.probes:
        found.append(
            "evaluate.probes is empty: no probe measured; add one with `nearfar probe RUN`"
        )
    found += [finding.text for finding in thin_splits(setup.facts)]
    if (chosen := selection_line(setup.facts)) is not None:
        found.append(chosen)
    if not complete:
        done = f"interrupted after epoch {counters.epoch} of {setup.epochs}"
        found.append(f"{done}; --resume continues")
    return found


def _data(evaluation: Evaluation) -> DataSummary:
    facts, data = evaluation.setup.facts, evaluation.data
    asked = evaluation.setup.config.data
    return DataSummary(
        name=facts.name,
        source=evaluation.setup.source,
        classes=facts.class_names,
        class_counts=facts.class_counts,
        labels_per_class=asked.labels_per_class,
        label_fraction=asked.label_fraction,
        label_noise=asked.label_noise,
        n_withheld=facts.n_withheld,
        n_mislabeled=facts.n_mislabeled,
        n_train=facts.n_train,
        n_unlabeled=facts.n_unlabeled,
        n_val=facts.n_val,
        n_test=facts.n_test,
        n_test_seen=n_test_seen(data, evaluation.setup),
        side=facts.side,
        skipped=tuple({"path": bad.path, "reason": bad.reason} for bad in data.unreadable),
    )


def _encoder(evaluation: Evaluation, encoder: Encoder) -> EncoderSummary:
    setup, view = evaluation.setup, evaluation.view
    config = setup.config.encoder
    return EncoderSummary(
        name=setup.encoder_name,
        width=encoder.width,
        size=view.size,
        stem=tuple(encoder.stem),
        mean=view.mean,
        std=view.std,
        weights="hub" if config.pretrained else config.weights,
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        not_in_weights=encoder.left or None,
        weights_unused=encoder.unused or None,
    )


def _views(setup: Setup) -> ViewsSummary:
    if not setup.trains:
        return ViewsSummary()
    return ViewsSummary(policy=setup.views.name, count=setup.views.count, shown=setup.views.shown)


def _train(setup: Setup) -> TrainSummary:
    if not setup.trains:
        return TrainSummary(epochs=0, precision=setup.precision, needs_labels=False)
    return TrainSummary(
        epochs=setup.epochs,
        batch_size=setup.batch_size,
        steps_per_epoch=setup.steps_per_epoch,
        class_draws=_class_draws(setup),
        images=setup.images,
        optimizer=setup.optimizer.name,
        lr=setup.optimizer.lr,
        weight_decay=setup.optimizer.weight_decay,
        precision=setup.precision,
        needs_labels=setup.method.needs_labels,
    )


def _class_draws(setup: Setup) -> tuple[float, ...]:
    """How often an epoch draws each class, on average, where it does not pass over all images."""
    if not setup.sampling.by_class:
        return ()
    places = setup.steps_per_epoch * setup.batch_size
    return tuple(places * share for share in setup.sampling.shares(setup.facts.class_counts))
