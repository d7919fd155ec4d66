import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.splits import VAL_AT_MOST, apportion, cut


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 400))
def test_shares_are_proportional_and_leave_two_of_each_class(counts, total):
    total = min(total, sum(counts))
    shares = apportion(counts, total)
    assert sum(shares) == min(total, sum(max(count - 2, 0) for count in counts))
    for count, share in zip(counts, shares, strict=True):
        assert 0 <= share <= max(count - 2, 0)


def cut_classes(sizes, given=(), **options):
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
    splits = np.full(len(labels), "train", dtype="<U9")
    for row, split in given:
        splits[row] = split
    paths = [f"c{label}/{row}.png" for row, label in enumerate(labels)]
    return labels, paths, cut(labels, splits, paths, **options)


@pytest.mark.parametrize("sizes", [[2], [1, 2, 3], [2] * 30, [1] * 5, [100, 2, 1], [3] * 20])
def test_nothing_is_cut_from_a_class_that_would_fall_below_two(sizes):
    labels, _, splits = cut_classes(sizes)
    for label, size in enumerate(sizes):
        assert (splits[labels == label] == "train").sum() >= min(size, 2)


def test_validation_never_takes_more_than_5000():
    _, _, splits = cut_classes([20_000, 20_000], given=[(0, "test")])
    assert (splits == "val").sum() == VAL_AT_MOST


def test_unlabeled_and_given_rows_stay_where_they_are():
    labels, paths, _ = cut_classes([10, 10])
    labels[3] = -1
    splits = np.full(20, "train", dtype="<U9")
    splits[3], splits[4] = "unlabeled", "val"
    after = cut(labels, splits, paths)
    assert after[3] == "unlabeled"
    assert (after == "val").nonzero()[0].tolist() == [4]
    assert (splits == "test").sum() == 0  # the argument is not changed


def test_the_cut_depends_on_paths_and_not_on_their_order():
    labels, paths, splits = cut_classes([30, 40])
    order = np.random.default_rng(0).permutation(70)
    start = np.full(70, "train", dtype="<U9")
    shuffled = cut(labels[order], start, [paths[row] for row in order])
    assert (shuffled == splits[order]).all()


def test_another_file_moves_at_most_a_few_others():
    labels, paths, splits = cut_classes([100])
    more = cut(np.append(labels, 0), np.full(101, "train", dtype="<U9"), [*paths, "c0/new.png"])
    assert (more[:100] != splits).sum() <= 3
