"""Measurements: their names, intervals and what they count."""

import numpy as np
import pytest
from evaluate_clouds import clouds
from scipy.stats import binomtest

from nearfar.evaluate.features import Features
from nearfar.evaluate.measure import accuracies, measure, wilson

PROBES = ("linear", "knn", "few_label")


def splits() -> dict[str, Features]:
    return {
        name: clouds(n, spread=1.5, seed=seed)
        for name, n, seed in (("train", 150, 0), ("val", 60, 1), ("test", 80, 2))
    }


@pytest.mark.parametrize(
    ("right", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (37, 50), (1, 1000), (870, 1000)]
)
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    want = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((want.low, want.high), abs=1e-7)


def truth(y: list[int]) -> Features:
    return Features(np.zeros((len(y), 2), dtype=np.float32), np.array(y), np.arange(len(y)))


def test_accuracies_count_per_class_and_balance_over_the_classes_present() -> None:
    predicted = np.array([0, 0, 0, 1, 1, 0])
    top1, balanced, per_class = accuracies(
        "knn", predicted, truth([0, 0, 0, 0, 1, 1]), 2, "last", "how"
    )
    assert (top1.name, top1.value, top1.n) == ("knn.top1", pytest.approx(4 / 6), 6)
    assert (balanced.name, balanced.value) == (
        "knn.balanced_accuracy",
        pytest.approx((3 / 4 + 1 / 2) / 2),
    )
    assert (per_class.name, per_class.value) == ("knn.per_class", [3 / 4, 1 / 2])
    assert top1.interval == wilson(4 / 6, 6)
    assert balanced.interval is per_class.interval is None
    assert {m.protocol for m in (top1, balanced, per_class)} == {"how"}
    assert {m.split for m in (top1, balanced, per_class)} == {"test"}


def test_a_class_without_a_test_image_has_no_accuracy_and_no_say_in_the_balance() -> None:
    _, balanced, per_class = accuracies(
        "knn", np.array([0, 2, 2]), truth([0, 2, 2]), 5, None, "how"
    )
    assert per_class.value == [1.0, None, 1.0, None, None]
    assert balanced.value == 1.0


def test_measurements_have_the_names_that_results_json_promises() -> None:
    found = measure(splits(), 3, probes=PROBES, selection="last", seed=0)
    assert [m.name for m in found.measurements] == [
        "linear_probe.top1",
        "linear_probe.balanced_accuracy",
        "linear_probe.per_class",
        "knn.top1",
        "knn.balanced_accuracy",
        "knn.per_class",
        "few_label_probe.top1@10",
    ]
    for m in found.measurements:
        assert (m.split, m.selection, m.n) == ("test", "last", 80)
        assert set(m.as_json()) == {
            "name",
            "split",
            "selection",
            "value",
            "n",
            "interval",
            "protocol",
        }
    protocols = [m.protocol for m in found.measurements]
    assert "150 frozen features" in protocols[0]
    assert "60 validation images" in protocols[0]
    assert protocols[3] == "cosine, k = 15, temperature 0.1, 150 training images"
    assert protocols[6] == "linear probe on 10 labels a class, mean of 5 draws"


def test_top1_is_the_share_of_test_images_that_the_returned_classifier_gets_right() -> None:
    parts = splits()
    found = measure(parts, 3, probes=("linear",), selection=None, seed=0)
    assert found.classifier is not None
    right = found.classifier.predict(parts["test"].x) == parts["test"].y
    assert found.measurements[0].value == pytest.approx(right.mean())
    assert found.measurements[0].selection is None


@pytest.mark.parametrize(("probe", "count"), [("linear", 3), ("knn", 3), ("few_label", 1)])
def test_only_the_probes_that_are_asked_are_measured(probe: str, count: int) -> None:
    found = measure(splits(), 3, probes=(probe,), selection="validation", seed=0)
    assert len(found.measurements) == count
    assert (found.classifier is not None) is (probe == "linear")
    assert measure(splits(), 3, probes=(), selection="last", seed=0).measurements == []


def test_nothing_is_learnt_or_chosen_from_the_test_split() -> None:
    """Other labels of the test images change its scores and not one prediction."""
    parts = splits()
    one = measure(parts, 3, probes=PROBES, selection="last", seed=0)
    test = parts["test"]
    turned = {**parts, "test": Features(test.x, (test.y + 1) % 3, test.rows)}
    two = measure(turned, 3, probes=PROBES, selection="last", seed=0)
    assert one.classifier is not None
    assert two.classifier is not None
    assert np.array_equal(one.classifier.weight, two.classifier.weight)
    assert [m.protocol for m in one.measurements] == [m.protocol for m in two.measurements]
    assert one.measurements[0].value != two.measurements[0].value
