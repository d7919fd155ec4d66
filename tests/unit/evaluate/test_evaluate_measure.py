"""From a context to all measurements: which evaluators run, and what they hand on."""

import numpy as np
import pytest
import torch
from evaluate_clouds import context, stored_images
from torch import nn

from nearfar.data.center import CenterSquare
from nearfar.data.samples import EvaluationView, ImageSamples
from nearfar.evaluate.base import Context
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
    assert [made.name for made in found.candidates] == ["linear_probe", "head", "stage"]
    assert {m.name.partition(".")[0] for m in found.by_probes()} == {"linear_probe"}
    stage = next(m for m in found.measurements if m.name == "classifier.top1")
    assert stage.protocol == "by hand"
    assert stage.value == (context().test.y == 1).mean()


def right_of(chances: float, context: Context) -> Trained:
    """A stage that gets that share of the validation images right, and no test image: it reads the
    class from the first number of a row.
    """
    weight = np.zeros((3, 5), np.float32)
    weight[:, 0] = [-1, 0, 1]
    classifier = Classifier(weight, np.array([0, 0.75, 0], np.float32))
    val, test = context.splits["val"], context.test
    val.x[:, 0] = np.where(np.arange(len(val)) < chances * len(val), 2 * val.y - 2, 2 - 2 * val.y)
    val.x[val.y == 1, 0] = np.where(np.arange(len(val)) < chances * len(val), 0, 9)[val.y == 1]
    test.x[:, 0] = np.where(test.y == 1, 9, 2 - 2 * test.y)
    return Trained(classifier, None, "by hand", 0.0)


@pytest.mark.parametrize(("share", "name"), [(1.0, "stage"), (0.2, "handing"), (0.5, "stage")])
def test_the_best_on_validation_serves_whatever_it_does_on_test(share: float, name: str) -> None:
    """The user's own, behind the table, is all zeros: class 0, a third."""
    images, here = ImageSamples(stored_images(), VIEW, torch.device("cpu")), context()
    trained = right_of(share, here)
    found = measure(
        context(splits=here.splits, classifier=trained, images=images), ["evaluate_own:Handing"]
    )
    stage, own = found.candidates
    assert stage.top1_val == pytest.approx(share, abs=0.05)
    assert (own.name, own.top1_val) == ("handing", pytest.approx(1 / 3, abs=0.1))
    assert not (stage.probabilities.argmax(axis=1) == here.test.y).any()
    assert found.classified is not None
    assert found.classified.name == name


def test_of_equals_the_first_serves() -> None:
    images, here = ImageSamples(stored_images(), VIEW, torch.device("cpu")), context()
    probe = measure(here, ["linear"]).classified
    assert probe is not None
    trained = Trained(probe.classifier, None, "the same", 0.0)
    found = measure(context(classifier=trained, images=images), ["linear"])
    assert [made.top1_val for made in found.candidates] == [probe.top1_val] * 2
    assert found.classified is not None
    assert found.classified.name == "linear_probe"
    only = measure(context(classifier=trained, images=images), ["knn"]).classified
    assert only is not None
    assert only.name == "stage"


def test_a_head_of_one_layer_or_two_may_serve_and_any_other_is_only_measured() -> None:
    here = context()
    torch.manual_seed(0)
    two = nn.Sequential(nn.Dropout(), nn.Linear(5, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 3))
    for head in (nn.Linear(5, 3), nn.Linear(5, 3, bias=False), two.eval()):
        found = measure(context(head=head), [])
        (made,) = found.candidates
        with torch.no_grad():
            scores = head(torch.from_numpy(here.test.x)).softmax(dim=1).numpy()
        np.testing.assert_allclose(made.probabilities, scores, atol=1e-5)
        assert (scores.argmax(axis=1) == here.test.y).mean() == found.measurements[0].value
    other = measure(context(head=nn.Sequential(nn.Linear(5, 3), nn.Tanh())), [])
    assert other.classified is None
    assert other.measurements[0].name == "head.top1"


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
