"""The second stage: the encoder frozen, its features extracted once, every probe on them."""

import copy
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nearfar.core.errors import DivergedError
from nearfar.core.progress import Progress
from nearfar.data.samples import EvaluationView, ImageSamples
from nearfar.data.store import ImageData
from nearfar.evaluate.classifier import Trained
from nearfar.evaluate.features import Features, extract, extract_splits
from nearfar.evaluate.knn import knn_accuracy
from nearfar.evaluate.maps import nearest_rows, tsne
from nearfar.evaluate.measure import Measured, Measurement, Selection, accuracies, measure
from nearfar.experiment.setup import Setup
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.training.checkpoint import Counters
from nearfar.training.failures import what_to_try

SELECTION_BANK = 5000  # training images among which a selection looks for neighbors
THUMBNAIL_PX = 32
# training images by which an epoch's encoder is judged to be finite: an overflow spares none
JUDGED_ROWS = 8


@dataclass(frozen=True)
class Stage:
    """What every evaluation of a run needs."""

    setup: Setup
    samples: ImageSamples
    progress: Progress

    @property
    def data(self) -> ImageData:
        return self.samples.data

    @property
    def view(self) -> EvaluationView:
        return self.samples.view

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
            return extract_splits(encoder, self.samples, bar)

    def measure(self, splits: dict[str, Features], selection: Selection | None) -> Measured:
        return measure(
            splits,
            self.n_classes,
            probes=self.setup.config.evaluate.probes,
            selection=selection,
            seed=self.setup.seed,
        )


def selection_accuracy(stage: Stage, encoder: Encoder) -> float:
    """kNN on validation among at most 5,000 training images spread evenly: what epochs are selected
    by.
    """
    labels = torch.as_tensor(stage.data.labels)

    def features(split: str, most: int) -> Features:
        rows = stage.data.split(split)
        rows = rows[labels[rows] >= 0]
        rows = spread(rows, most)
        return Features(extract(encoder, stage.samples, rows), labels[rows].numpy(), rows.numpy())

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
    if finite and np.isfinite(extract(method.encoder, stage.samples, rows)).all():
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
    measurements: list[Measurement]
    confusion: list[list[int]] | None
    trained: Trained | None = None  # by a classifier stage


def evaluate_run(
    stage: Stage, method: Method, counters: Counters, out: Path, trained: Trained | None = None
) -> Evaluated:
    """Measures the last encoder and, where epochs were selected, the selected one.

    Writes embeddings.npz of the last, and the linear probe of the last as classifier.safetensors,
    unless a classifier stage has `trained` one: predictions are that one's then.
    """
    if not stage.measurable():
        _write_unlabeled(stage, method.encoder, out)
        return Evaluated([], None, trained)
    splits = stage.features(method.encoder, "features, last epoch")
    last = stage.measure(splits, "last")
    found = list(last.measurements) + _head(method, splits["test"], stage.n_classes, "last")
    confusion = None
    test = splits["test"]
    predicted = confidence = None
    shares = None
    if trained is not None:
        shares = trained.classifier.probabilities(_for_classifier(stage, trained, test))
        found += accuracies(
            "classifier", shares.argmax(axis=1), test, stage.n_classes, "last", trained.protocol
        )
    elif last.classifier is not None:
        files.write_classifier(out, last.classifier.weight, last.classifier.bias)
        shares = last.classifier.probabilities(test.x)
    if shares is not None:
        predicted, confidence = shares.argmax(axis=1), shares.max(axis=1)
        counts = np.zeros((stage.n_classes, stage.n_classes), dtype=np.int64)
        np.add.at(counts, (test.y, predicted), 1)
        confusion = counts.tolist()
    write_embeddings(stage, test, predicted, confidence, out)
    found += _of_selected(stage, method, counters, found, out)
    return Evaluated(found, confusion, trained)


def _for_classifier(stage: Stage, trained: Trained, test: Features) -> NDArray[np.float32]:
    """The test images as the classifier's encoder represents them."""
    if trained.finetuned is None:
        return test.x
    return extract(trained.finetuned, stage.samples, torch.from_numpy(test.rows))


def _of_selected(
    stage: Stage, method: Method, counters: Counters, last: list[Measurement], out: Path
) -> list[Measurement]:
    """The probes of the selected encoder, whose head was not kept, and which no classifier stage
    saw; equal numbers where it is the last one.
    """
    if counters.best_epoch == 0:
        return []
    if counters.best_epoch == counters.epoch:
        return [
            replace(m, selection="validation")
            for m in last
            if not m.name.startswith(("head.", "classifier."))
        ]
    twin = copy.deepcopy(method)
    twin.encoder.net.load_state_dict(files.read_tensors(out / files.ENCODER_SELECTED))
    splits = stage.features(twin.encoder, "features, selected epoch")
    return stage.measure(splits, "validation").measurements


def _head(
    method: Method, test: Features, n_classes: int, selection: Selection
) -> list[Measurement]:
    """The method's own classifier on the same features, where it trained one."""
    if method.head is None:
        return []
    device = next(method.parameters()).device
    with torch.inference_mode():
        scores = method.head(torch.from_numpy(test.x).to(device))
    predicted: NDArray[np.int64] = scores.argmax(dim=1).cpu().numpy()
    protocol = "the classifier that the method trained itself"
    return accuracies("head", predicted, test, n_classes, selection, protocol)


def _write_unlabeled(stage: Stage, encoder: Encoder, out: Path) -> None:
    """Without labels to probe with there is still a map: of test, else of what was trained on."""
    names = [name for name in ("test", "unlabeled", "train") if len(stage.data.split(name))]
    rows = spread(stage.data.split(names[0]), stage.config.evaluate.map_rows)
    x = extract(encoder, stage.samples, rows)
    labels = np.asarray(stage.data.labels)[rows.numpy()]
    write_embeddings(stage, Features(x, labels, rows.numpy()), None, None, out)


def spread(rows: Tensor, most: int) -> Tensor:
    """At most so many of the rows, evenly spread."""
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), most)).round().long()]


def write_embeddings(
    stage: Stage,
    features: Features,
    predicted: NDArray[np.int64] | None,
    confidence: NDArray[np.float64] | None,
    out: Path,
) -> None:
    """embeddings.npz: at most `evaluate.map_rows` rows, with their map, neighbors and
    thumbnails.
    """
    chosen = spread(torch.arange(len(features)), stage.config.evaluate.map_rows).numpy()
    x, rows = features.x[chosen], features.rows[chosen]
    none = np.full(len(chosen), -1, dtype=np.int64)
    thumbnails = [
        np.asarray(
            Image.fromarray(image).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BICUBIC)
        )
        for image in stage.data.rows(torch.from_numpy(rows)).images.numpy()
    ]
    arrays: dict[str, Any] = {
        "embeddings": x,
        "labels": features.y[chosen],
        "predictions": none if predicted is None else predicted[chosen],
        "confidence": (
            (np.full(len(chosen), np.nan) if confidence is None else confidence[chosen]).astype(
                np.float32
            )
        ),
        "split": np.asarray(stage.data.splits)[rows].astype(str),
        "paths": np.asarray([stage.data.paths[row] for row in rows], dtype=str),
        "xy": tsne(x, seed=stage.config.train.seed),
        "neighbors": nearest_rows(x),
        "thumbnails": np.stack(thumbnails),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_bytes(out / files.EMBEDDINGS, buffer.getvalue())
