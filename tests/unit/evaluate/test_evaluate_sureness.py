"""From which probability on a classifier decides, and what is unlike the images it learned from."""

import numpy as np
import pytest

from nearfar.evaluate.classifier import Classifier
from nearfar.evaluate.features import Features
from nearfar.evaluate.sureness import (
    HeldOut,
    Reference,
    make_reference,
    neighbor_distance,
    reference_of,
    smallest_threshold,
)


def slow_threshold(probability: np.ndarray, right: np.ndarray, wanted: float) -> float | None:
    """By trying them all."""
    enough = [t for t in probability if right[probability >= t].mean() >= wanted]
    return min(enough, default=None)


@pytest.mark.parametrize("wanted", [0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("levels", [3, 1000])  # three: most are equal
def test_the_threshold_is_the_smallest_that_is_right_often_enough(wanted, levels):
    random = np.random.default_rng(levels)
    for n in (1, 2, 10, 60):
        probability = random.integers(1, levels + 1, n) / levels
        right = random.random(n) < probability
        found = smallest_threshold(probability, right, wanted)
        assert found == slow_threshold(probability, right, wanted)


def test_no_threshold_is_none():
    some = np.array([0.9, 0.6, 0.5])
    assert smallest_threshold(some, np.array([False, True, True]), 0.9) is None
    assert smallest_threshold(some, np.array([False, True, True]), 2 / 3) == 0.5
    assert smallest_threshold(np.zeros(0), np.zeros(0, bool), 0.9) is None


def test_the_distance_is_the_mean_cosine_distance_to_the_nearest_five():
    random = np.random.default_rng(0)
    train = random.normal(size=(40, 6)).astype(np.float32)
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    x = random.normal(size=(7, 6)).astype(np.float32)
    cosines = x @ train.T / np.linalg.norm(x, axis=1, keepdims=True)
    wanted = 1 - np.sort(cosines, axis=1)[:, -5:].mean(axis=1)
    np.testing.assert_allclose(neighbor_distance(x, train), wanted, atol=1e-6)
    np.testing.assert_allclose(neighbor_distance(100 * x, train), wanted, atol=1e-6)
    few = neighbor_distance(x, train[:2])  # fewer than five
    np.testing.assert_allclose(few, 1 - cosines[:, :2].mean(axis=1), atol=1e-6)


def cloud(n: int, seed: int) -> Features:
    """Two classes along two axes."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    x = (np.eye(2)[y] + random.normal(0, 0.4, (n, 2))).astype(np.float32)
    return Features(x, y.astype(np.int64), np.arange(n))


def test_a_reference_is_the_same_after_it_was_stored():
    splits = {"train": cloud(50, 0), "val": cloud(201, 1), "test": cloud(30, 2)}
    classifier = Classifier(4 * np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    made = make_reference(splits, classifier)
    shares = classifier.probabilities(splits["val"].x)
    np.testing.assert_array_equal(made.val.probability, shares.max(axis=1))
    np.testing.assert_array_equal(made.val.right, shares.argmax(axis=1) == splits["val"].y)
    assert len(made.test) == 30
    assert (made.val.distance > made.farthest).sum() == 2  # of 201
    arrays = made.arrays()
    assert arrays["train"].dtype == np.float16
    again = reference_of(arrays)
    assert again.farthest == made.farthest
    new = cloud(20, 3).x
    np.testing.assert_array_equal(again.distances(new), made.distances(new))
    np.testing.assert_array_equal(again.val.distance, made.distances(splits["val"].x))
    with pytest.raises(KeyError, match="val_right"):
        reference_of({name: array for name, array in arrays.items() if name != "val_right"})


def test_what_points_elsewhere_is_unlike():
    one = np.array([[1.0, 0.0]], np.float32)
    held = HeldOut(np.ones(3), np.ones(3, bool), np.array([0.0, 0.1, 0.2]))
    reference = Reference(np.repeat(one, 9, axis=0), held, held)
    far = reference.distances(np.array([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]], np.float32))
    np.testing.assert_allclose(far, [0.0, 1.0, 2.0], atol=1e-6)
    assert (far > reference.farthest).tolist() == [False, True, True]
    assert reference.farthest == 0.2  # of three validation images none is unlike
