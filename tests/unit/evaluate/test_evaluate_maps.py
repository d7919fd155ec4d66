"""Pictures of a representation, also of very small and degenerate ones."""

import numpy as np
import pytest
from evaluate_clouds import clouds

from nearfar.evaluate import maps
from nearfar.evaluate.maps import map_of_many, nearest, nearest_rows, tsne


@pytest.mark.parametrize("n", [0, 1, 4])
def test_fewer_than_five_rows_have_no_map(n: int) -> None:
    placed = tsne(clouds(n).x if n else np.zeros((0, 5), dtype=np.float32), seed=0)
    assert (placed.shape, placed.dtype) == ((n, 2), np.float32)
    assert not placed.any()


@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
def test_rows_that_are_all_equal_have_no_map(row: list[float]) -> None:
    assert not tsne(np.tile(np.array(row, dtype=np.float32), (20, 1)), seed=0).any()


def test_rows_that_differ_in_length_alone_have_no_map() -> None:
    """Cosine sees no difference."""
    rows = np.outer(np.arange(1, 21), [1.0, 2.0]).astype(np.float32)
    assert not tsne(rows, seed=0).any()


@pytest.mark.parametrize(("n", "width"), [(5, 1), (6, 2), (11, 60), (60, 60)])
def test_a_map_is_finite_for_few_rows_and_for_narrow_and_wide_ones(n: int, width: int) -> None:
    x = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    placed = tsne(x, seed=0)
    assert (placed.shape, placed.dtype) == ((n, 2), np.float32)
    assert np.isfinite(placed).all()
    assert placed.std() > 0


def test_a_map_repeats_by_seed_and_keeps_clouds_apart() -> None:
    cloud = clouds(60, spread=0.05)
    placed = tsne(cloud.x, seed=0)
    assert np.array_equal(placed, tsne(cloud.x, seed=0))
    distance = np.linalg.norm(placed[:, None] - placed[None, :], axis=-1) + 1e9 * np.eye(60)
    assert (cloud.y[distance.argmin(axis=1)] == cloud.y).mean() > 0.95


def test_a_map_takes_as_many_iterations_as_the_module_says(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds(40).x
    usual = tsne(x, seed=0)
    monkeypatch.setattr(maps, "ITERATIONS", 250)
    assert not np.array_equal(usual, tsne(x, seed=0))


@pytest.mark.parametrize("n", [0, 1, 2, 10, 11, 12, 40])
def test_the_nearest_rows_are_those_of_a_slow_search_and_minus_one_where_there_are_fewer(
    n: int,
) -> None:
    x = np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)
    found = nearest_rows(x)
    assert (found.shape, found.dtype) == ((n, 10), np.int64)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    for row in range(n):
        others = sorted(
            (other for other in range(n) if other != row),
            key=lambda other: -unit[row] @ unit[other],
        )
        want = others[:10] + [-1] * (10 - min(10, len(others)))
        assert found[row].tolist() == want


def test_a_row_is_no_neighbor_of_itself_among_equal_rows() -> None:
    found = nearest_rows(np.ones((12, 3), dtype=np.float32))
    assert all(row not in found[row].tolist() for row in range(12))
    assert all(len(set(found[row].tolist())) == 10 for row in range(12))


def test_parts_of_a_search_are_the_whole_search(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    whole = nearest_rows(x)
    monkeypatch.setattr(maps, "ROWS_A_CALL", 7)
    assert np.array_equal(nearest_rows(x), whole)
    parts = list(nearest(x))
    assert [part.start for part in parts] == list(range(0, 50, 7))
    distances = np.concatenate([part.distances for part in parts])
    assert (np.diff(distances, axis=1) >= 0).all()


def test_a_map_of_many_is_that_of_some_with_the_others_among_their_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = clouds(120, spread=0.05)
    assert np.array_equal(map_of_many(cloud.x, seed=0), tsne(cloud.x, seed=0))
    monkeypatch.setattr(maps, "LANDMARKS", 40)
    placed = map_of_many(cloud.x, seed=0)
    chosen = np.linspace(0, 119, 40).round().astype(int)
    assert np.array_equal(placed[chosen], tsne(cloud.x[chosen], seed=0))
    distance = np.linalg.norm(placed[:, None] - placed[None, :], axis=-1) + 1e9 * np.eye(120)
    assert (cloud.y[distance.argmin(axis=1)] == cloud.y).mean() > 0.95
