"""Nearest neighbors: k by rule, and the vote of a slow transcription."""

import numpy as np
import pytest
import torch
from evaluate_clouds import clouds
from numpy.typing import NDArray

from nearfar.evaluate import knn
from nearfar.evaluate.features import Features
from nearfar.evaluate.knn import knn_accuracy, knn_predict, neighbors_for


def slow_vote(
    train: Features, query: NDArray[np.float32], classes: int, k: int
) -> NDArray[np.float64]:
    """The weight of each class for one query, in float64."""
    q = query.astype(np.float64)
    similarity = [
        float(row @ q / np.linalg.norm(row) / np.linalg.norm(q))
        for row in train.x.astype(np.float64)
    ]
    votes = np.zeros(classes)
    for row in sorted(range(len(similarity)), key=lambda i: -similarity[i])[:k]:
        votes[train.y[row]] += np.exp(similarity[row] / 0.1)
    return votes / votes.sum()


@pytest.mark.parametrize(
    ("n", "k"),
    [
        (1, 1),
        (9, 1),
        (10, 1),
        (19, 1),
        (20, 2),
        (1999, 199),
        (2000, 200),
        (2010, 200),
        (10**6, 200),
    ],
)
def test_k_is_a_tenth_of_the_training_rows_at_least_1_and_at_most_200(n: int, k: int) -> None:
    assert neighbors_for(n) == k


def test_predictions_are_those_of_a_float64_transcription() -> None:
    train, queries = clouds(300, spread=2.0), clouds(120, spread=2.0, seed=1)
    predicted = knn_predict(train, queries.x, 3)
    compared = 0
    for query, label in zip(queries.x, predicted, strict=True):
        votes = slow_vote(train, query, 3, 30)
        first, second = np.sort(votes)[::-1][:2]
        if first - second > 1e-4:  # nearer is a tie in float32
            assert label == votes.argmax()
            compared += 1
    assert compared > 110
    assert 0.4 < knn_accuracy(train, queries, 3) < 0.99


def test_nearer_rows_weigh_more_than_more_rows() -> None:
    """One row at cosine 1 (weight 1) against two at .8 (2 exp(-2) = .27); by mere count they would
    win.
    """
    near, far = [1.0, 0.0], [0.8, 0.6]
    rest = [[-1.0, 0.0]] * 27
    train = Features(
        np.array([near, far, far, *rest], dtype=np.float32),
        np.array([0, 1, 1] + [2] * 27),
        np.arange(30),
    )
    assert knn_predict(train, np.array([[3.0, 0.0]], dtype=np.float32), 3).tolist() == [0]


def test_the_length_of_a_row_does_not_matter() -> None:
    train, queries = clouds(100), clouds(40, seed=1)
    scaled = Features(
        train.x * np.geomspace(0.01, 100, 100, dtype=np.float32)[:, None], train.y, train.rows
    )
    assert np.array_equal(knn_predict(train, queries.x, 3), knn_predict(scaled, queries.x * 7, 3))


def test_predictions_do_not_depend_on_how_many_queries_go_in_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, queries = clouds(200, spread=2.0), clouds(50, spread=2.0, seed=1)
    whole = knn_predict(train, queries.x, 3)
    monkeypatch.setattr(knn, "MOST_QUERIES_A_CALL", 7)
    assert np.array_equal(knn_predict(train, queries.x, 3), whole)


@pytest.mark.parametrize(("similarities", "largest"), [(1 << 24, 50), (1700, 8), (10, 5)])
def test_many_training_rows_leave_fewer_queries_for_a_call(
    similarities: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as 1,700 similarities with 200 rows hold, but 5 at least."""
    train, queries = clouds(200, spread=2.0), clouds(50, spread=2.0, seed=1)
    whole = knn_predict(train, queries.x, 3)
    monkeypatch.setattr(knn, "SIMILARITIES_A_CALL", similarities)
    monkeypatch.setattr(knn, "FEWEST_QUERIES_A_CALL", 5)
    sizes = []
    topk = torch.Tensor.topk
    monkeypatch.setattr(
        torch.Tensor, "topk", lambda x, *a, **k: sizes.append(len(x)) or topk(x, *a, **k)
    )
    assert np.array_equal(knn_predict(train, queries.x, 3), whole)
    assert max(sizes) == largest


def test_a_single_training_row_decides_for_all() -> None:
    train = clouds(1, present=(2,))
    assert set(knn_predict(train, clouds(5, seed=1).x, 3).tolist()) == {2}


def test_features_that_all_collapsed_give_an_answer_and_no_nan() -> None:
    train = Features(np.zeros((20, 4), dtype=np.float32), np.arange(20) % 2, np.arange(20))
    assert set(knn_predict(train, train.x, 2).tolist()) <= {0, 1}
