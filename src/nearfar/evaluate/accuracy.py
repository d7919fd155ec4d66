"""Measurements that are shares of the test images: their intervals, their split by class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import recall_score

from nearfar.evaluate.base import Context
from nearfar.run_folder.records import Measurement

BALANCED_DIFFERS = 0.005  # half a point
UNSEEN = "_unseen"  # ends the name of a measurement without the test images seen in training


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion of n: Wilson 1927's score interval."""
    found = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def share(
    context: Context, name: str, title: str, right: NDArray[np.bool_], protocol: str
) -> Measurement:
    """The share of the test images that are right, with its interval."""
    n = len(right)
    return Measurement(
        name=name,
        title=title,
        split="test",
        selection=context.selection,
        value=float(right.mean()),
        unit="fraction",
        better="higher",
        n=n,
        interval=wilson(int(right.sum()), n),
        protocol=protocol,
    )


def accuracies(
    context: Context, name: str, title: str, predicted: NDArray[np.int64], protocol: str
) -> list[Measurement]:
    """top1, balanced accuracy (mean over the classes present) and per-class accuracy on the test
    split; None for a class without a test image. Where training has seen some of the images, top1
    without them as well.
    """
    truth, labels = context.test.y, range(context.n_classes)
    top1 = share(context, f"{name}.top1", title, predicted == truth, protocol)
    per_class = recall_score(truth, predicted, labels=labels, average=None, zero_division=np.nan)
    shares = tuple(None if np.isnan(value) else float(value) for value in per_class)
    balanced = {
        "name": f"{name}.balanced_accuracy",
        "title": f"{title}, balanced",
        "value": float(np.nanmean(per_class)),
        "interval": None,
    }
    by_class = {**balanced, "name": f"{name}.per_class", "title": f"{title} by class"}
    return [
        top1,
        top1.model_copy(update=balanced),
        top1.model_copy(update={**by_class, "value": shares}),
        *unseen(context, name, title, predicted == truth, protocol),
    ]


def unseen(
    context: Context, name: str, title: str, right: NDArray[np.bool_], protocol: str
) -> list[Measurement]:
    """top1 without the test images that training has seen; nothing where it saw none, or all."""
    seen = context.seen
    if seen is None or not seen.any() or seen.all():
        return []
    left_out = f"{protocol}; without the {int(seen.sum())} test images seen in training"
    return [share(context, f"{name}.top1{UNSEEN}", f"{title}, unseen", right[~seen], left_out)]


def balanced_if_it_says_more(found: Sequence[Measurement]) -> tuple[str, ...]:
    """Of `accuracies`: the name of the balanced one, where the classes' sizes make a difference."""
    top1, balanced, *_ = found
    assert isinstance(top1.value, float)
    assert isinstance(balanced.value, float)
    return (balanced.name,) if abs(top1.value - balanced.value) > BALANCED_DIFFERS else ()
