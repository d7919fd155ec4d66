"""The few-label probe: its draws, and that a setting of another number names another measurement."""

import numpy as np
import pytest
from evaluate_clouds import clouds, context

from nearfar.evaluate import few_label as module
from nearfar.evaluate.classifier import Classifier
from nearfar.evaluate.features import Features
from nearfar.evaluate.few_label import FewLabel, FewLabelConfig, few_label_probes, fewest_labels
from nearfar.evaluate.logistic import LinearProbe


def recorded_draws(
    monkeypatch: pytest.MonkeyPatch, train: Features, **given: int
) -> list[Features]:
    drawn: list[Features] = []

    def remember(few: Features, _val: Features, _classes: int) -> LinearProbe:
        drawn.append(few)
        return LinearProbe(Classifier(np.zeros((3, 5), np.float32), np.zeros(3, np.float32)), 0.1)

    monkeypatch.setattr(module, "fit_probe", remember)
    few_label_probes(train, train, 3, **{"per_class": 10, "seed": 0, **given})
    return drawn


def test_few_label_draws_hold_at_most_so_many_labels_a_class_and_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = clouds(200)
    drawn = recorded_draws(monkeypatch, train)
    assert len(drawn) == 5
    for few in drawn:
        assert np.bincount(few.y).tolist() == [10, 10, 10]
        assert len(set(few.rows.tolist())) == 30
        assert np.array_equal(train.y[few.rows], few.y)
        assert np.array_equal(train.x[few.rows], few.x)
    assert len({tuple(few.rows.tolist()) for few in drawn}) == 5


def test_few_label_draws_repeat_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    train = clouds(200)
    rows = [
        [few.rows.tolist() for few in recorded_draws(monkeypatch, train, seed=seed)]
        for seed in (3, 3, 4)
    ]
    assert rows[0] == rows[1]
    assert all(a != b for a, b in zip(rows[0], rows[2], strict=True))


def test_nothing_is_measured_where_a_class_has_fewer_labels() -> None:
    here = context()
    fewest = fewest_labels(here)
    assert fewest == min(np.bincount(here.splits["train"].y))
    measured = FewLabel(FewLabelConfig(labels_per_class=fewest)).run(here).measurements
    assert [m.name for m in measured] == [f"few_label_probe.top1@{fewest}"]
    assert FewLabel(FewLabelConfig(labels_per_class=fewest + 1)).run(here).measurements == []


def test_few_label_probes_are_five_and_deterministic() -> None:
    train, val = clouds(200), clouds(50, seed=1)
    one, two = (few_label_probes(train, val, 3, per_class=5, seed=0) for _ in range(2))
    assert len(one) == 5
    assert all(
        np.array_equal(a.classifier.weight, b.classifier.weight)
        for a, b in zip(one, two, strict=True)
    )


def test_the_measurement_is_named_for_its_labels_and_is_the_mean_of_its_draws() -> None:
    here = context()
    (found,) = FewLabel(FewLabelConfig(labels_per_class=3)).run(here).measurements
    assert (found.name, found.title) == ("few_label_probe.top1@3", "3 labels a class")
    probes = few_label_probes(here.splits["train"], here.splits["val"], 3, per_class=3, seed=0)
    test = here.test
    shares = [(probe.classifier.predict(test.x) == test.y).mean() for probe in probes]
    assert found.value == pytest.approx(np.mean(shares))
    assert found.interval is None
