import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.core.errors import DataError
from nearfar.data.groups import copies, has_one_in, joined, named_in_paths, of_pairs


def test_copies_are_what_is_equal_in_every_pixel_and_in_size():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    images[3], images[5] = images[1], images[1]
    images[4] = images[0]
    images[4, 3, 3, 2] ^= 1
    sizes = np.full((6, 2), 9)
    sizes[5] = 9, 8
    assert copies(images, sizes).tolist() == [0, 1, 2, 1, 4, 5]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (r"person(\d+)", [0, 1, 0, 3]),
        (r"person\d+_day\d", [0, 1, 2, 3]),
        (r"day\d", [0, 1, 1, 3]),
        (r"(?:person(\d))?_day2", [0, 1, 2, 3]),
    ],
)
def test_paths_name_groups_by_the_first_group_or_all_that_is_found(pattern, wanted):
    paths = ["a/person1_day1.png", "a/person2_day2.png", "b/person1_day2.png", "b/nobody.png"]
    assert named_in_paths(paths, pattern).tolist() == wanted


@pytest.mark.parametrize(
    ("pattern", "said"), [("x+", "is found in none of 1 paths, such as a.png"), ("(", "want near")]
)
def test_an_expression_that_finds_nothing_or_is_none_is_refused(pattern, said):
    with pytest.raises(DataError, match=said):
        named_in_paths(["a.png"], pattern)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(
    st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40)
)))  # fmt: skip
def test_pairs_make_groups_of_all_that_they_connect(drawn):
    n, pairs = drawn
    group = list(range(n))
    for _ in range(n):
        for a, b in pairs:
            group[a] = group[b] = min(group[a], group[b])
    found = of_pairs(np.array(pairs, dtype=np.int64).reshape(-1, 2), n)
    assert found.tolist() == group


def test_what_either_holds_together_is_together():
    assert joined(np.array([0, 0, 2, 3]), np.array([0, 1, 1, 3])).tolist() == [0, 0, 0, 3]


def test_of_a_group_with_a_training_image_all_have_one():
    splits = np.array(["train", "test", "test", "val", "predict"])
    groups = np.array([0, 0, 2, 0, 2])
    assert has_one_in(groups, splits, ["train"]).tolist() == [True, True, False, True, False]
