"""Shares of the test images: their intervals, and what they count."""

import numpy as np
import pytest
from evaluate_clouds import context

from nearfar.evaluate.accuracy import accuracies, balanced_if_it_says_more, wilson
from nearfar.evaluate.base import Context
from nearfar.evaluate.features import Features


@pytest.mark.parametrize(
    ("right", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (37, 50), (1, 1000), (870, 1000)]
)
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    """The roots of (p - share)^2 = z^2 p (1 - p) / n."""
    z, part = 1.959963984540054, right / n
    roots = np.roots([1 + z**2 / n, -2 * part - z**2 / n, part**2])
    assert wilson(right, n) == pytest.approx(tuple(sorted(roots.real)), abs=1e-7)


def truth(y: list[int], classes: int) -> Context:
    test = Features(np.zeros((len(y), 2), dtype=np.float32), np.array(y), np.arange(len(y)))
    names = tuple(str(label) for label in range(classes))
    return context(splits={"test": test}, class_names=names)


def test_accuracies_count_per_class_and_balance_over_the_classes_present() -> None:
    predicted = np.array([0, 0, 0, 1, 1, 0])
    found = accuracies(truth([0, 0, 0, 0, 1, 1], 2), "knn", "kNN", predicted, "how")
    top1, balanced, per_class = found
    assert (top1.name, top1.value, top1.n) == ("knn.top1", pytest.approx(4 / 6), 6)
    assert (balanced.name, balanced.value) == (
        "knn.balanced_accuracy",
        pytest.approx((3 / 4 + 1 / 2) / 2),
    )
    assert (per_class.name, per_class.value) == ("knn.per_class", (3 / 4, 1 / 2))
    assert top1.interval == wilson(4, 6)
    assert balanced.interval is per_class.interval is None
    assert {m.protocol for m in found} == {"how"}
    assert {m.split for m in found} == {"test"}
    assert balanced_if_it_says_more(found) == ("knn.balanced_accuracy",)


def test_a_class_without_a_test_image_has_no_accuracy_and_no_say_in_the_balance() -> None:
    here = truth([0, 2, 2], 5)
    found = accuracies(here, "knn", "kNN", np.array([0, 2, 1]), "how")
    assert found[2].value == (1.0, None, 0.5, None, None)
    assert found[1].value == 0.75
    even = accuracies(here, "knn", "kNN", np.array([0, 2, 2]), "how")
    assert balanced_if_it_says_more(even) == ()
