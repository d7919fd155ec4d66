"""What is judged of an encoder while it trains: whether it is finite, and which epoch is best."""

import numpy as np
import torch

from nearfar.core.errors import DivergedError
from nearfar.evaluate.features import Features, extract, spread
from nearfar.evaluate.knn import knn_accuracy
from nearfar.evaluate.logistic import fit_probe
from nearfar.experiment.evaluation import Evaluation
from nearfar.experiment.setup import SELECTION_BANK
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.training.failures import what_to_try

# training images by which an epoch's encoder is judged to be finite: an overflow spares none
JUDGED_ROWS = 8


def selection_accuracy(run: Evaluation, encoder: Encoder) -> float:
    """kNN on validation among at most 5,000 training images spread evenly: what epochs are selected
    by.
    """
    train, val = (_some(run, encoder, split) for split in ("train", "val"))
    return knn_accuracy(train, val, run.n_classes)


def trial_accuracy(run: Evaluation, encoder: Encoder) -> float:
    """The linear probe on validation, of at most 5,000 training images spread evenly: what trials
    are judged by. The test split is not looked at.
    """
    train, val = (_some(run, encoder, split) for split in ("train", "val"))
    probe = fit_probe(train, val, run.n_classes)
    return float((probe.classifier.predict(val.x) == val.y).mean())


def _some(run: Evaluation, encoder: Encoder, split: str) -> Features:
    labels, rows = run.samples.labels, run.samples.split(split)
    rows = spread(rows[labels[rows] >= 0], SELECTION_BANK)
    return Features(extract(encoder, run.samples, rows), labels[rows].numpy(), rows.numpy())


def stop_if_diverged(run: Evaluation, method: Method, epoch: int) -> None:
    """DivergedError where the weights after a step, or what they make of images, are no finite
    numbers.

    The loop judges a step by its loss and gradient, which come before its update.
    """
    samples = run.samples
    rows = spread(torch.cat([samples.split("train"), samples.split("unlabeled")]), JUDGED_ROWS)
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in method.state_dict().values())
    if finite and np.isfinite(extract(method.encoder, samples, rows)).all():
        return
    of_images = "the representations of training images"
    what = of_images if finite else f"weights of {type(method).__name__}"
    raise DivergedError(
        f"training stopped after epoch {epoch} of {run.setup.epochs}: {what} are not finite."
        f" {what_to_try(run.setup.optimizer.lr)}"
    )
