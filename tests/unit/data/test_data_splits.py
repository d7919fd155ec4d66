import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.splits import VAL_AT_MOST, Uncut, apportion


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
    return labels, paths, Uncut(labels, splits, paths, **options).cut()


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
    after = Uncut(labels, splits, paths).cut()
    assert after[3] == "unlabeled"
    assert (after == "val").nonzero()[0].tolist() == [4]
    assert (splits == "test").sum() == 0  # the argument is not changed


def test_the_cut_depends_on_paths_and_not_on_their_order():
    labels, paths, splits = cut_classes([30, 40])
    order = np.random.default_rng(0).permutation(70)
    start = np.full(70, "train", dtype="<U9")
    shuffled = Uncut(labels[order], start, [paths[row] for row in order]).cut()
    assert (shuffled == splits[order]).all()


def test_another_file_moves_at_most_a_few_others():
    labels, paths, splits = cut_classes([100])
    labels, start = np.append(labels, 0), np.full(101, "train", dtype="<U9")
    more = Uncut(labels, start, [*paths, "c0/new.png"]).cut()
    assert (more[:100] != splits).sum() <= 3


def cut_around(labels, groups, given=()):
    labels, groups = np.array(labels), np.array(groups)
    splits = np.full(len(labels), "train", dtype="<U9")
    for row, split in given:
        splits[row] = split
    return Uncut(labels, splits, [f"{row:04d}.png" for row in range(len(labels))]).cut(groups)


def shares(splits):
    return [(splits == name).mean() for name in ("train", "val", "test")]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15)), min_size=1, max_size=80))
def test_no_group_lies_on_two_sides_and_two_images_of_each_class_are_kept(rows):
    labels, named = (np.array(column) for column in zip(*rows, strict=True))
    splits = cut_around(labels, named)
    for name in set(named.tolist()):
        assert len(set(splits[named == name].tolist())) == 1
    for label in set(labels.tolist()):
        assert (splits[labels == label] == "train").sum() >= min(2, (labels == label).sum())


def test_groups_of_any_size_leave_about_the_shares():
    random = np.random.default_rng(0)
    people, labels = random.integers(0, 40, 2000), random.integers(0, 5, 2000)
    assert shares(cut_around(labels, people)) == pytest.approx([0.64, 0.16, 0.2], abs=0.03)


def test_groups_of_one_image_are_cut_as_if_there_were_none():
    labels, paths, splits = cut_classes([30, 40])
    start = np.full(70, "train", dtype="<U9")
    assert (Uncut(labels, start, paths).cut(np.arange(70)) == splits).all()


@pytest.mark.parametrize(
    ("people", "wanted"), [(1, ["train"]), (2, ["test", "train"]), (3, ["test", "train", "val"])]
)
def test_of_few_large_groups_each_part_gets_one_where_one_can_be_spared(people, wanted):
    labels, named = np.tile([0, 1], 30 * people), np.repeat(np.arange(people), 60)
    assert sorted(set(cut_around(labels, named).tolist())) == wanted


@pytest.mark.parametrize(("split", "label"), [("unlabeled", -1), ("val", 0)])
def test_what_has_a_copy_beside_the_training_images_stays_with_them(split, label):
    labels, groups = np.tile([0, 1], 50), np.arange(100)
    labels[-30:] = label
    groups[:30] = groups[-30:]
    splits = cut_around(labels, groups, [(row, split) for row in range(70, 100)])
    assert (splits[:30] == "train").all()
    free = cut_around(labels, groups, [(row, "predict") for row in range(70, 100)])
    assert not (free[:30] == "train").all()
