"""From features to measurements: names, splits, values, intervals and protocols, as results.json
has them.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nearfar.evaluate.features import Features
from nearfar.evaluate.knn import TEMPERATURE, knn_predict, neighbors_for
from nearfar.evaluate.probe import FEW_LABEL_DRAWS, LinearProbe, few_label_probes, linear_probe

Selection = Literal["last", "validation"]
FEW_LABELS = 10
_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Measurement:
    """One number. `interval` is 95 % over the test images (Wilson); None where it has none."""

    name: str
    split: str
    selection: Selection | None  # None: the untrained encoder
    # a list for each class; None where the split has no image of it
    value: float | list[float | None]
    n: int
    interval: tuple[float, float] | None
    protocol: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a proportion of n: Wilson 1927's score interval."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * (share * (1 - share) / n + _Z**2 / (4 * n**2)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)


def accuracies(
    probe: str,
    predicted: NDArray[np.int64],
    truth: Features,
    n_classes: int,
    selection: Selection | None,
    protocol: str,
) -> list[Measurement]:
    """top1, balanced accuracy (mean over the classes present) and per-class accuracy on the test
    split.
    """
    right = predicted == truth.y
    top1 = float(right.mean())
    per_class = [
        float(right[truth.y == label].mean()) if (truth.y == label).any() else float("nan")
        for label in range(n_classes)
    ]
    n = len(truth)
    shares: list[float | None] = [None if np.isnan(share) else share for share in per_class]
    return [
        Measurement(f"{probe}.top1", "test", selection, top1, n, wilson(top1, n), protocol),
        Measurement(
            f"{probe}.balanced_accuracy",
            "test",
            selection,
            float(np.nanmean(per_class)),
            n,
            None,
            protocol,
        ),
        Measurement(f"{probe}.per_class", "test", selection, shares, n, None, protocol),
    ]


@dataclass(frozen=True)
class Measured:
    """All measurements of one encoder, and the linear probe that the classifier is made of."""

    measurements: list[Measurement]
    classifier: LinearProbe | None


def measure(
    splits: dict[str, Features],
    n_classes: int,
    *,
    probes: tuple[str, ...],
    selection: Selection | None,
    seed: int,
) -> Measured:
    """Every asked probe, chosen on val and reported once on test. Needs the splits train, val and
    test.
    """
    found: list[Measurement] = []
    classifier = None
    if "linear" in probes:
        found, classifier = linear_measurements(splits, n_classes, selection)
    if "knn" in probes:
        found = found + knn_measurements(splits, n_classes, selection)
    if "few_label" in probes:
        found = [*found, few_label_measurement(splits, n_classes, selection, seed)]
    return Measured(found, classifier)


def linear_measurements(
    splits: dict[str, Features], n_classes: int, selection: Selection | None
) -> tuple[list[Measurement], LinearProbe]:
    """The linear probe's accuracies, and the probe."""
    train, val, test = splits["train"], splits["val"], splits["test"]
    probe = linear_probe(train, val, n_classes)
    protocol = (
        f"logistic regression on {len(train)} frozen features, weight decay "
        f"{probe.weight_decay:g} chosen on {len(val)} validation images"
    )
    return accuracies(
        "linear_probe", probe.predict(test.x), test, n_classes, selection, protocol
    ), probe


def knn_measurements(
    splits: dict[str, Features], n_classes: int, selection: Selection | None
) -> list[Measurement]:
    """The nearest neighbors' accuracies."""
    train, test = splits["train"], splits["test"]
    k = neighbors_for(len(train))
    protocol = f"cosine, k = {k}, temperature {TEMPERATURE}, {len(train)} training images"
    return accuracies(
        "knn", knn_predict(train, test.x, n_classes), test, n_classes, selection, protocol
    )


def few_label_measurement(
    splits: dict[str, Features],
    n_classes: int,
    selection: Selection | None,
    seed: int,
    *,
    per_class: int = FEW_LABELS,
) -> Measurement:
    """The few-label probe's accuracy, a mean over draws."""
    train, val, test = splits["train"], splits["val"], splits["test"]
    probes = few_label_probes(train, val, n_classes, per_class=per_class, seed=seed)
    shares = [float((probe.predict(test.x) == test.y).mean()) for probe in probes]
    protocol = f"linear probe on {per_class} labels a class, mean of {FEW_LABEL_DRAWS} draws"
    name = f"few_label_probe.top1@{per_class}"
    return Measurement(name, "test", selection, float(np.mean(shares)), len(test), None, protocol)
