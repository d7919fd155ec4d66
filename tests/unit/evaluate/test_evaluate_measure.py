"""From a context to all measurements: which evaluators run, and what they hand on."""

import numpy as np
import pytest
import torch
from evaluate_clouds import context, stored_images
from torch import nn

from nearfar.data.center import CenterSquare
from nearfar.data.samples import EvaluationView, ImageSamples
from nearfar.evaluate.classifier import Classifier, Trained
from nearfar.evaluate.features import Features
from nearfar.evaluate.measure import judged_by, measure

PROBES = ("linear", "knn", "few_label", "retrieval")
VIEW = EvaluationView(CenterSquare(8), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
ZEROS = Classifier(np.zeros((3, 5), np.float32), np.array([0, 1, 0], np.float32))
TRAINED = Trained(ZEROS, None, "by hand", 0.0)


def test_measurements_have_the_names_that_results_json_promises() -> None:
    found = measure(context(), PROBES).measurements
    assert [m.name for m in found] == [
        "linear_probe.top1",
        "linear_probe.balanced_accuracy",
        "linear_probe.per_class",
        "knn.top1",
        "knn.balanced_accuracy",
        "knn.per_class",
        "few_label_probe.top1@10",
        "retrieval.recall@1",
    ]
    titles = [m.title for m in found]
    assert titles[:3] == ["linear probe", "linear probe, balanced", "linear probe by class"]
    assert titles[3:] == ["kNN", "kNN, balanced", "kNN by class", "10 labels a class", "recall@1"]
    for m in found:
        assert (m.split, m.selection, m.n) == ("test", "last", 80)
        assert (m.unit, m.better) == ("fraction", "higher")
    protocols = [m.protocol for m in found]
    assert "150 frozen features" in protocols[0]
    assert "60 validation images" in protocols[0]
    assert protocols[3] == "cosine, k = 15, temperature 0.1, 150 training images"
    assert protocols[6] == "linear probe on 10 labels a class, mean of 5 draws"


def test_top1_is_the_share_of_test_images_that_the_returned_classifier_gets_right() -> None:
    here = context(selection=None)
    found = measure(here, ["linear"])
    assert found.classified is not None
    assert found.classified.title == "linear probe"
    right = found.classified.classifier.predict(here.test.x) == here.test.y
    assert found.measurements[0].value == pytest.approx(right.mean())
    assert found.measurements[0].selection is None
    assert (found.classified.probabilities.argmax(axis=1) == here.test.y).mean() == right.mean()


@pytest.mark.parametrize(
    ("probe", "count"), [("linear", 3), ("knn", 3), ("few_label", 1), ("retrieval", 1)]
)
def test_only_the_probes_that_are_asked_are_measured(probe: str, count: int) -> None:
    found = measure(context(selection="validation"), [probe])
    assert len(found.measurements) == count
    assert (found.classified is not None) is (probe == "linear")
    assert measure(context(), []).measurements == []


def test_the_order_is_the_table_s_whatever_is_asked_first() -> None:
    found = measure(context(), ["knn", "linear"])
    assert found.shown[:1] == ["linear_probe.top1"]
    assert judged_by(["knn", "linear"]) == "linear_probe.top1"
    assert judged_by(["few_label", "knn"]) == "knn.top1"
    assert judged_by([]) == "linear_probe.top1"


def test_an_evaluator_is_given_its_own_settings_and_its_number_is_shown_by_name() -> None:
    found = measure(context(), PROBES, {"few_label": {"labels_per_class": 3}})
    assert [m.name for m in found.measurements if "few_label" in m.name] == [
        "few_label_probe.top1@3"
    ]
    assert found.shown == [
        "linear_probe.top1",
        "knn.top1",
        "few_label_probe.top1@3",
        "retrieval.recall@1",
    ]
    assert measure(context(), PROBES).shown.count("few_label_probe.top1@10") == 1


def test_what_training_left_behind_is_measured_whatever_is_asked() -> None:
    images = ImageSamples(stored_images(), VIEW, torch.device("cpu"))
    head = nn.Linear(5, 3)
    found = measure(context(head=head, classifier=TRAINED, images=images), ["linear"])
    assert found.shown[0] == "linear_probe.top1"
    assert found.shown[-2:] == ["head.top1", "classifier.top1"]
    assert found.classified is not None
    assert found.classified.title == "classifier stage"  # not the linear probe's
    assert found.classified.classifier is ZEROS
    assert {m.name.partition(".")[0] for m in found.by_probes()} == {"linear_probe"}
    stage = next(m for m in found.measurements if m.name == "classifier.top1")
    assert stage.protocol == "by hand"
    assert stage.value == (context().test.y == 1).mean()


def test_one_of_the_user_s_own_does_not_take_the_classifier_stage_s_place() -> None:
    """It stands behind the table, and predictions are the classifier stage's all the same."""
    images = ImageSamples(stored_images(), VIEW, torch.device("cpu"))
    asked = ["linear", "evaluate_own:Handing"]
    found = measure(context(classifier=TRAINED, images=images), asked)
    assert found.measurements[-1].name == "handing.top1"
    assert found.classified is not None
    assert found.classified.title == "classifier stage"
    alone = measure(context(), asked).classified
    assert alone is not None
    assert alone.title == "handing"


def test_an_evaluator_without_what_it_needs_is_left_out() -> None:
    splits = {name: part for name, part in context().splits.items() if name != "val"}
    assert measure(context(splits=splits), PROBES).measurements == []
    assert measure(context(classifier=TRAINED), []).measurements == []  # no images


def test_nothing_is_learnt_or_chosen_from_the_test_split() -> None:
    """Other labels of the test images change its scores and not one prediction."""
    here = context()
    one = measure(here, PROBES)
    test = here.test
    turned = {**here.splits, "test": Features(test.x, (test.y + 1) % 3, test.rows)}
    two = measure(context(splits=turned), PROBES)
    assert one.classified is not None
    assert two.classified is not None
    assert np.array_equal(one.classified.classifier.weight, two.classified.classifier.weight)
    assert [m.protocol for m in one.measurements] == [m.protocol for m in two.measurements]
    assert one.measurements[0].value != two.measurements[0].value
