"""recall@1 among the test images, against scikit-learn's neighbors."""

import numpy as np
import pytest
from evaluate_clouds import clouds, context
from sklearn.neighbors import NearestNeighbors

from nearfar.evaluate import retrieval
from nearfar.evaluate.accuracy import wilson
from nearfar.evaluate.base import EvaluatorConfig
from nearfar.evaluate.features import Features
from nearfar.evaluate.retrieval import Retrieval, nearest_others


def test_recall_is_that_of_scikit_learn_s_nearest_other_row() -> None:
    test = clouds(200, seed=2)
    # of each row the nearest two: itself, and the one that is asked for
    model = NearestNeighbors(n_neighbors=2, metric="cosine", algorithm="brute").fit(test.x)
    pairs = model.kneighbors(test.x, return_distance=False)
    other = np.where(pairs[:, 0] == np.arange(200), pairs[:, 1], pairs[:, 0])
    here = context(splits={**context().splits, "test": test})
    (found,) = Retrieval(EvaluatorConfig()).run(here).measurements
    assert np.array_equal(nearest_others(test.x), other)
    right = test.y[other] == test.y
    assert 0.4 < right.mean() < 0.95
    assert (found.name, found.value) == ("retrieval.recall@1", right.mean())
    assert found.interval == wilson(int(right.sum()), 200)
    assert "each of 200 test images asks for its nearest other one" in found.protocol


def test_neighbors_do_not_depend_on_how_many_queries_go_in_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = clouds(50, seed=1).x
    whole = nearest_others(x)
    monkeypatch.setattr(retrieval, "QUERIES_A_CALL", 7)
    assert np.array_equal(nearest_others(x), whole)
    assert (whole != np.arange(50)).all()


def test_a_lone_test_image_has_no_other() -> None:
    one = Features(np.ones((1, 5), np.float32), np.zeros(1, np.int64), np.arange(1))
    here = context(splits={**context().splits, "test": one})
    assert Retrieval(EvaluatorConfig()).run(here).measurements == []
