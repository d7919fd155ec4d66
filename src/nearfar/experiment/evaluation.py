"""The second half of a run: the encoder frozen, its features extracted once, every evaluator on
them.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from torch import nn

from nearfar.core.progress import Progress
from nearfar.data.images import ImageData
from nearfar.data.samples import EvaluationView, ImageSamples
from nearfar.evaluate.base import Classified, Context
from nearfar.evaluate.classifier import Classifier, Trained
from nearfar.evaluate.features import SPLITS, Features, extract_splits
from nearfar.evaluate.measure import Measured, judged_by, measure
from nearfar.experiment.embeddings import write_embeddings, write_unlabeled
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.referring import write_reference
from nearfar.experiment.setup import Setup
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import (
    Candidate,
    Confusion,
    JudgedBy,
    Measurement,
    PredictedBy,
    Selection,
)
from nearfar.training.checkpoint import Counters


@dataclass(frozen=True)
class Evaluation:
    """What every evaluation of a run needs."""

    setup: Setup
    samples: ImageSamples
    progress: Progress
    forecast: Forecast = field(default_factory=Forecast)  # is told how long it takes

    @property
    def data(self) -> ImageData:
        return self.samples.data

    @property
    def view(self) -> EvaluationView:
        return self.samples.view

    @property
    def n_classes(self) -> int:
        return len(self.samples.class_names)

    @property
    def judged_by(self) -> JudgedBy:
        """The one number that methods are compared by."""
        return JudgedBy(name=judged_by(self.setup.probes), split="test", selection="last")

    def measurable(self) -> bool:
        """Whether there are labeled images in train, val and test, in train of at least two
        classes.
        """
        return self.unmeasurable() is None

    def unmeasurable(self) -> str | None:
        """Why these data are nothing to probe with, or None."""
        labels = self.samples.labels.numpy()
        present = {name: np.unique(labels[self.samples.split(name).numpy()]) for name in SPLITS}
        classes = {name: found[found >= 0].tolist() for name, found in present.items()}
        if without := [name for name, found in classes.items() if not found]:
            some = f"no labeled images in {' and '.join(without)}"
            return "no labels" if len(without) == len(classes) else some
        if len(classes["train"]) == 1:
            return f"one class only in train ({self.samples.class_names[classes['train'][0]]})"
        return None

    def seen(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of which of these images the method was shown a copy, or another of their group."""
        return self.data.seen(self.setup.training_splits)[rows]

    def features(self, encoder: Encoder, title: str) -> dict[str, Features]:
        total = sum(len(self.samples.split(name)) for name in SPLITS)
        timed = self.forecast.timed(self.setup, "image", total)
        with timed, self.progress.bar(total, title) as bar:
            return extract_splits(encoder, self.samples, bar)

    def measure(
        self,
        splits: dict[str, Features],
        selection: Selection | None,
        *,
        head: nn.Module | None = None,
        trained: Trained | None = None,
    ) -> Measured:
        """By evaluate.probes; and, where they are given, of the method's own head and of what a
        classifier stage has trained.
        """
        context = Context(
            splits=splits,
            class_names=self.samples.class_names,
            selection=selection,
            seed=self.setup.seed,
            images=self.samples,
            head=head,
            classifier=trained,
            seen=self.seen(splits["test"].rows),
        )
        with self.forecast.timed(self.setup, "probes"):
            return measure(context, self.setup.probes, self.setup.config.evaluate.settings)


def measure_untrained(run: Evaluation, encoder: Encoder) -> tuple[Measurement, ...]:
    """The floor: the encoder as it starts."""
    if not run.measurable():
        return ()
    title = "given weights" if run.setup.config.encoder.given else "untrained encoder"
    return tuple(run.measure(run.features(encoder, title), None).measurements)


@dataclass(frozen=True)
class Evaluated:
    """What results.json says of a run's encoders; empty where nothing could be measured."""

    measurements: Sequence[Measurement] = ()
    shown: Sequence[str] = ()
    confusion: Confusion | None = None
    trained: Trained | None = None  # by a classifier stage
    predicted_by: PredictedBy | None = None
    of_encoder: Sequence[Measurement] = ()  # of the last encoder, by probes alone

    def as_start(self) -> tuple[Measurement, ...]:
        """What was measured of the last encoder as that of the encoder before training, for where
        nothing was trained between.
        """
        return tuple(m.model_copy(update={"selection": None}) for m in self.of_encoder)


def evaluate_run(
    run: Evaluation,
    method: Method,
    counters: Counters,
    folder: RunFolder,
    trained: Trained | None = None,
) -> Evaluated:
    """Measures the last encoder and, where epochs were selected, the selected one.

    Writes embeddings.npz of the last, and of all classifiers (the method's own head, those that
    evaluators made, what a classifier stage has `trained`) the one that is best on validation as
    classifier.safetensors, with reference.npz; where nothing can be measured, what was trained.
    """
    if not run.measurable():
        write_unlabeled(run.setup, run.samples, method.encoder, folder)
        return _unmeasured(trained, folder)
    splits = run.features(method.encoder, "features, last epoch")
    last = run.measure(splits, "last", head=method.head, trained=trained)
    made = last.classified
    if made is not None:
        _write_classifier(folder, made.classifier, made.finetuned)
        write_reference(folder, made.classifier, splits, run.samples, made.finetuned)
    probabilities = None if made is None else made.probabilities
    with run.forecast.timed(run.setup, "map"):
        write_embeddings(run.setup, run.data, splits["test"], probabilities, folder)
    confusion = None if made is None else _confusion(made, splits["test"])
    found = [*last.measurements, *_of_selected(run, method, counters, last, folder)]
    by = predicted_by(last, splits["test"])
    return Evaluated(found, last.shown, confusion, trained, by, last.by_probes())


def _unmeasured(trained: Trained | None, folder: RunFolder) -> Evaluated:
    if trained is None:
        return Evaluated()
    _write_classifier(folder, trained.classifier, trained.finetuned)
    encoder = _encoder(trained.finetuned)
    by = PredictedBy(name="stage", title="classifier stage", encoder=encoder)
    return Evaluated(trained=trained, predicted_by=by)


def _write_classifier(folder: RunFolder, classifier: Classifier, finetuned: Encoder | None) -> None:
    state = finetuned.net.state_dict() if finetuned is not None else None
    folder.write_classifier(classifier.arrays(), state)


def predicted_by(measured: Measured, test: Features) -> PredictedBy | None:
    """What results.json says of the classifier that serves for predictions; None without one."""
    made = measured.classified
    if made is None:
        return None
    found = {
        id(one): Candidate(
            name=one.name,
            title=one.title,
            validation=one.top1_val,
            test=float((one.probabilities.argmax(axis=1) == test.y).mean()),
        )
        for one in measured.candidates
    }
    return PredictedBy(
        **found[id(made)].model_dump(),
        encoder=_encoder(made.finetuned),
        candidates=tuple(found.values()),
    )


def _encoder(finetuned: Encoder | None) -> Literal["frozen", "finetuned"]:
    return "frozen" if finetuned is None else "finetuned"


def _confusion(made: Classified, test: Features) -> Confusion:
    predicted, n = made.probabilities.argmax(axis=1), made.probabilities.shape[1]
    counts = confusion_matrix(test.y, predicted, labels=range(n))
    return Confusion(split="test", by=made.title, counts=counts.tolist())


def _of_selected(
    run: Evaluation, method: Method, counters: Counters, last: Measured, folder: RunFolder
) -> list[Measurement]:
    """What is measured of the selected encoder, whose head was not kept, and which no classifier
    stage saw; equal numbers where it is the last one.
    """
    if counters.best_epoch == 0:
        return []
    if counters.best_epoch == counters.epoch:
        return [m.model_copy(update={"selection": "validation"}) for m in last.by_probes()]
    twin = copy.deepcopy(method)
    twin.encoder.net.load_state_dict(folder.read_tensors(names.ENCODER_SELECTED))
    splits = run.features(twin.encoder, "features, selected epoch")
    return run.measure(splits, "validation").measurements
