"""The linear probe is scikit-learn's logistic regression on standardized features, folded into raw
ones.
"""

import numpy as np
import pytest
from evaluate_clouds import clouds
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from nearfar.evaluate.features import Features
from nearfar.evaluate.logistic import WEIGHT_DECAYS, fit_probe


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
    probe = fit_probe(train, val, classes)
    want = standardized_regression(train, test.x, probe.weight_decay)
    assert probe.classifier.weight.shape == (classes, 5)
    assert probe.classifier.probabilities(test.x) == pytest.approx(want, abs=5e-3)
    decided = np.sort(want)[:, -1] - np.sort(want)[:, -2] > 0.01
    assert decided.sum() > 90
    assert np.array_equal(probe.classifier.predict(test.x)[decided], want.argmax(axis=1)[decided])


def test_probabilities_are_of_the_raw_features_and_sum_to_one() -> None:
    train = clouds(100)
    probe = fit_probe(train, clouds(50, seed=1), 3)
    probabilities = probe.classifier.probabilities(train.x)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))
    assert np.isfinite(fit_probe(train, train, 3).classifier.probabilities(train.x * 1e6)).all()


@pytest.mark.parametrize(("classes", "present"), [(3, (0, 2)), (4, (1, 2, 3)), (4, (0, 1, 3))])
def test_a_class_without_a_training_row_is_never_predicted(
    classes: int, present: tuple[int, ...]
) -> None:
    train = clouds(120, classes=classes, spread=0.5, present=present)
    everywhere = clouds(400, classes=classes, spread=5.0, seed=1)
    probe = fit_probe(train, clouds(60, classes=classes, spread=0.5, seed=2), classes)
    assert set(probe.classifier.predict(everywhere.x).tolist()) == set(present)
    absent = (set(range(classes)) - set(present)).pop()
    assert probe.classifier.probabilities(everywhere.x)[:, absent].max() == 0
    seen = clouds(200, classes=classes, spread=0.5, seed=3, present=present)
    assert (probe.classifier.predict(seen.x) == seen.y).mean() > 0.8


def test_one_class_alone_is_an_error() -> None:
    with pytest.raises(ValueError, match="class"):
        fit_probe(clouds(20, present=(1,)), clouds(20, seed=1), 3)


def test_the_weight_decay_is_the_one_that_is_best_on_validation() -> None:
    train, val = clouds(40, width=30, spread=3.0), clouds(400, width=30, spread=3.0, seed=1)
    accuracy = {
        decay: float((standardized_regression(train, val.x, decay).argmax(axis=1) == val.y).mean())
        for decay in WEIGHT_DECAYS
    }
    assert max(accuracy.values()) - min(accuracy.values()) > 0.02  # the choice matters here
    chosen = fit_probe(train, val, 3).weight_decay
    assert accuracy[chosen] >= max(accuracy.values()) - 0.005


def test_of_equally_good_weight_decays_the_largest_is_taken() -> None:
    train = clouds(100, spread=0.01)
    assert fit_probe(train, train, 3).weight_decay == max(WEIGHT_DECAYS)


def test_dead_and_constant_features_do_no_harm() -> None:
    train, test = clouds(100), clouds(50, seed=1)
    dead = [
        np.c_[part.x, np.zeros(len(part)), np.full(len(part), 1e3)].astype(np.float32)
        for part in (train, test)
    ]
    wide = Features(dead[0], train.y, train.rows)
    probe = fit_probe(wide, Features(dead[1], test.y, test.rows), 3)
    plain = fit_probe(train, test, 3)
    assert np.isfinite(probe.classifier.weight).all()
    assert np.array_equal(probe.classifier.predict(dead[1]), plain.classifier.predict(test.x))
