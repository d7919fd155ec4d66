"""The second half of a run: the encoder frozen, its features extracted once, every evaluator on
them.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch import nn

from nearfar.config.models import RunConfig
from nearfar.core.errors import DivergedError
from nearfar.core.progress import Progress
from nearfar.data.store import ImageData
from nearfar.evaluate.base import Classified, Context, Images
from nearfar.evaluate.classifier import Trained
from nearfar.evaluate.features import EvaluationView, Features, extract, extract_splits
from nearfar.evaluate.knn import knn_accuracy
from nearfar.evaluate.measure import Measured, measure
from nearfar.experiment import folder as files
from nearfar.experiment.embeddings import spread, write_embeddings, write_unlabeled
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.run_folder.records import Measurement, Selection
from nearfar.training.checkpoint import Counters
from nearfar.training.loop import what_to_try

SELECTION_BANK = 5000  # training images among which a selection looks for neighbors
# training images by which an epoch's encoder is judged to be finite: an overflow spares none
JUDGED_ROWS = 8


@dataclass(frozen=True)
class Stage:
    """What every evaluation of a run needs."""

    config: RunConfig
    data: ImageData
    view: EvaluationView
    progress: Progress

    @property
    def n_classes(self) -> int:
        return len(self.data.class_names)

    def measurable(self) -> bool:
        """Whether there are labeled images in train, val and test, in train of at least two
        classes.
        """
        return self.unmeasurable() is None

    def unmeasurable(self) -> str | None:
        """Why these data are nothing to probe with, or None."""
        labels = np.asarray(self.data.labels)
        present = {
            name: np.unique(labels[self.data.split(name).numpy()])
            for name in ("train", "val", "test")
        }
        classes = {name: found[found >= 0].tolist() for name, found in present.items()}
        if without := [name for name, found in classes.items() if not found]:
            return (
                "no labels"
                if len(without) == len(classes)
                else f"no labeled images in {' and '.join(without)}"
            )
        if len(classes["train"]) == 1:
            return f"one class only in train ({self.data.class_names[classes['train'][0]]})"
        return None

    def features(self, encoder: Encoder, title: str) -> dict[str, Features]:
        total = sum(len(self.data.split(name)) for name in ("train", "val", "test"))
        with self.progress.bar(total, title) as bar:
            return extract_splits(encoder, self.data, self.view, bar)

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
            class_names=self.data.class_names,
            selection=selection,
            seed=self.config.train.seed,
            images=Images(self.data, self.view),
            head=head,
            classifier=trained,
        )
        return measure(context, self.config.evaluate.probes or ())


def selection_accuracy(stage: Stage, encoder: Encoder) -> float:
    """kNN on validation among at most 5,000 training images spread evenly: what epochs are selected
    by.
    """
    labels = torch.as_tensor(stage.data.labels)

    def features(split: str, most: int) -> Features:
        rows = stage.data.split(split)
        rows = rows[labels[rows] >= 0]
        rows = spread(rows, most)
        return Features(
            extract(encoder, stage.data, rows, stage.view), labels[rows].numpy(), rows.numpy()
        )

    return knn_accuracy(
        features("train", SELECTION_BANK), features("val", SELECTION_BANK), stage.n_classes
    )


def stop_if_diverged(stage: Stage, method: Method, epoch: int) -> None:
    """DivergedError where the weights after a step, or what they make of images, are no finite
    numbers.

    The loop judges a step by its loss and gradient, which come before its update.
    """
    rows = spread(
        torch.cat([stage.data.split("train"), stage.data.split("unlabeled")]), JUDGED_ROWS
    )
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in method.state_dict().values())
    if finite and np.isfinite(extract(method.encoder, stage.data, rows, stage.view)).all():
        return
    what = (
        "the representations of training images"
        if finite
        else f"weights of {type(method).__name__}"
    )
    lr = stage.config.optimizer.lr
    assert lr is not None
    raise DivergedError(
        f"training stopped after epoch {epoch} of {stage.config.train.epochs}: {what} are not"
        f" finite. {what_to_try(lr)}"
    )


def measure_untrained(stage: Stage, encoder: Encoder) -> list[Measurement]:
    """The floor: the encoder as it starts."""
    if not stage.measurable():
        return []
    return stage.measure(stage.features(encoder, "untrained encoder"), None).measurements


@dataclass(frozen=True)
class Evaluated:
    """What results.json says of a run's encoders; empty where nothing could be measured."""

    measurements: list[Measurement] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    confusion: dict[str, Any] | None = None
    trained: Trained | None = None  # by a classifier stage


def evaluate_run(
    stage: Stage, method: Method, counters: Counters, out: Path, trained: Trained | None = None
) -> Evaluated:
    """Measures the last encoder and, where epochs were selected, the selected one.

    Writes embeddings.npz of the last, and the classifier that an evaluator made as
    classifier.safetensors, unless a classifier stage has `trained` one and written it.
    """
    config, data = stage.config, stage.data
    if not stage.measurable():
        write_unlabeled(config, data, stage.view, method.encoder, out)
        return Evaluated(trained=trained)
    splits = stage.features(method.encoder, "features, last epoch")
    last = stage.measure(splits, "last", head=method.head, trained=trained)
    made = last.classified
    if made is not None and trained is None:
        files.write_classifier(out, made.classifier.weight, made.classifier.bias)
    probabilities = None if made is None else made.probabilities
    write_embeddings(config, data, splits["test"], probabilities, out)
    confusion = None if made is None else _confusion(made, splits["test"])
    found = [*last.measurements, *_of_selected(stage, method, counters, last, out)]
    return Evaluated(found, last.shown, confusion, trained)


def _confusion(made: Classified, test: Features) -> dict[str, Any]:
    counts = confusion_matrix(
        test.y, made.probabilities.argmax(axis=1), labels=range(made.probabilities.shape[1])
    )
    return {"split": "test", "by": made.title, "counts": counts.tolist()}


def _of_selected(
    stage: Stage, method: Method, counters: Counters, last: Measured, out: Path
) -> list[Measurement]:
    """What is measured of the selected encoder, whose head was not kept, and which no classifier
    stage saw; equal numbers where it is the last one.
    """
    if counters.best_epoch == 0:
        return []
    if counters.best_epoch == counters.epoch:
        return [m.model_copy(update={"selection": "validation"}) for m in last.by_probes()]
    twin = copy.deepcopy(method)
    twin.encoder.net.load_state_dict(files.read_tensors(out / files.ENCODER_SELECTED))
    splits = stage.features(twin.encoder, "features, selected epoch")
    return stage.measure(splits, "validation").measurements
