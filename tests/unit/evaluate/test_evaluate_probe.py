"""The linear probe is scikit-learn's logistic regression on standardized features, folded into raw
ones.
"""

import numpy as np
import pytest
from evaluate_clouds import clouds
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from nearfar.evaluate import probe as module
from nearfar.evaluate.features import Features
from nearfar.evaluate.probe import WEIGHT_DECAYS, LinearProbe, few_label_probes, linear_probe


def standardized_regression(
    train: Features, x: NDArray[np.float32], decay: float
) -> NDArray[np.float64]:
    """scikit-learn's probabilities: mean loss + decay / 2 |w|^2 is C = 1 / (decay n)."""
    scaler = StandardScaler().fit(train.x.astype(np.float64))
    model = LogisticRegression(C=1 / (decay * len(train)), tol=1e-8, max_iter=5000)
    model.fit(scaler.transform(train.x.astype(np.float64)), train.y)
    probabilities: NDArray[np.float64] = model.predict_proba(scaler.transform(x.astype(np.float64)))
    return probabilities


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_probe_is_scikit_learns_regression_on_standardized_features(classes: int) -> None:
    train = clouds(200, classes=classes, spread=2.0)
    val, test = (clouds(100, classes=classes, spread=2.0, seed=seed) for seed in (1, 2))
    probe = linear_probe(train, val, classes)
    want = standardized_regression(train, test.x, probe.weight_decay)
    assert probe.weight.shape == (classes, 5)
    assert probe.probabilities(test.x) == pytest.approx(want, abs=5e-3)
    decided = np.sort(want)[:, -1] - np.sort(want)[:, -2] > 0.01
    assert decided.sum() > 90
    assert np.array_equal(probe.predict(test.x)[decided], want.argmax(axis=1)[decided])


def test_probabilities_are_of_the_raw_features_and_sum_to_one() -> None:
    train = clouds(100)
    probe = linear_probe(train, clouds(50, seed=1), 3)
    probabilities = probe.probabilities(train.x)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))
    assert np.isfinite(linear_probe(train, train, 3).probabilities(train.x * 1e6)).all()


@pytest.mark.parametrize(("classes", "present"), [(3, (0, 2)), (4, (1, 2, 3)), (4, (0, 1, 3))])
def test_a_class_without_a_training_row_is_never_predicted(
    classes: int, present: tuple[int, ...]
) -> None:
    train = clouds(120, classes=classes, spread=0.5, present=present)
    everywhere = clouds(400, classes=classes, spread=5.0, seed=1)
    probe = linear_probe(train, clouds(60, classes=classes, spread=0.5, seed=2), classes)
    assert set(probe.predict(everywhere.x).tolist()) == set(present)
    absent = (set(range(classes)) - set(present)).pop()
    assert probe.probabilities(everywhere.x)[:, absent].max() == 0
    seen = clouds(200, classes=classes, spread=0.5, seed=3, present=present)
    assert (probe.predict(seen.x) == seen.y).mean() > 0.8


def test_one_class_alone_is_an_error() -> None:
    with pytest.raises(ValueError, match="class"):
        linear_probe(clouds(20, present=(1,)), clouds(20, seed=1), 3)


def test_the_weight_decay_is_the_one_that_is_best_on_validation() -> None:
    train, val = clouds(40, width=30, spread=3.0), clouds(400, width=30, spread=3.0, seed=1)
    accuracy = {
        decay: float((standardized_regression(train, val.x, decay).argmax(axis=1) == val.y).mean())
        for decay in WEIGHT_DECAYS
    }
    assert max(accuracy.values()) - min(accuracy.values()) > 0.02  # the choice matters here
    chosen = linear_probe(train, val, 3).weight_decay
    assert accuracy[chosen] >= max(accuracy.values()) - 0.005


def test_of_equally_good_weight_decays_the_largest_is_taken() -> None:
    train = clouds(100, spread=0.01)
    assert linear_probe(train, train, 3).weight_decay == max(WEIGHT_DECAYS)


def test_dead_and_constant_features_do_no_harm() -> None:
    train, test = clouds(100), clouds(50, seed=1)
    dead = [
        np.c_[part.x, np.zeros(len(part)), np.full(len(part), 1e3)].astype(np.float32)
        for part in (train, test)
    ]
    wide = Features(dead[0], train.y, train.rows)
    probe = linear_probe(wide, Features(dead[1], test.y, test.rows), 3)
    plain = linear_probe(train, test, 3)
    assert np.isfinite(probe.weight).all()
    assert np.array_equal(probe.predict(dead[1]), plain.predict(test.x))


def recorded_draws(
    monkeypatch: pytest.MonkeyPatch, train: Features, **given: int
) -> list[Features]:
    drawn: list[Features] = []

    def remember(few: Features, _val: Features, _classes: int) -> LinearProbe:
        drawn.append(few)
        return LinearProbe(np.zeros((3, 5), np.float32), np.zeros(3, np.float32), 0.1)

    monkeypatch.setattr(module, "linear_probe", remember)
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


def test_a_class_with_fewer_labels_gives_all_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    train = clouds(200)
    kept = np.concatenate([np.flatnonzero(train.y == 0)[:4], np.flatnonzero(train.y != 0)])
    few = recorded_draws(monkeypatch, Features(train.x[kept], train.y[kept], kept))[0]
    assert np.bincount(few.y).tolist() == [4, 10, 10]


def test_few_label_probes_are_five_and_deterministic() -> None:
    train, val = clouds(200), clouds(50, seed=1)
    one, two = (few_label_probes(train, val, 3, per_class=5, seed=0) for _ in range(2))
    assert len(one) == 5
    assert all(np.array_equal(a.weight, b.weight) for a, b in zip(one, two, strict=True))
