"""Orders far from one another: the bounds of coding theory, and what greedy choice reaches."""

from itertools import combinations, pairwise

import pytest

from nearfar.nn.permutations import distant_permutations


def distances(orders: tuple[tuple[int, ...], ...]) -> list[int]:
    return [
        sum(a != b for a, b in zip(one, other, strict=True))
        for one, other in combinations(orders, 2)
    ]


# At most 9 permutations of 9 differ in all places, 72 in 8, 504 in 7: 9!/(d - 1)! (Deza & Vanstone
# 1978).
@pytest.mark.parametrize(
    ("count", "nearest", "never"), [(9, 9, 10), (10, 8, 9), (73, 7, 8), (100, 6, 8), (1000, 5, 7)]
)
def test_nine_tiles_are_as_far_apart_as_greedy_choice_makes_them(
    count: int, nearest: int, never: int
) -> None:
    orders = distant_permutations(9, count)
    assert len(set(orders)) == count
    assert all(sorted(order) == list(range(9)) for order in orders)
    found = distances(orders)
    assert min(found) == nearest < never
    if count == 100:  # the authors' set of 100 has the same mean, and pairs at distance 2
        assert sum(found) / len(found) == pytest.approx(8.08, abs=0.01)


def test_each_is_the_farthest_from_the_nearest_of_those_before() -> None:
    """Against a slow search through all permutations of 4."""
    every = distant_permutations(4, 24)
    assert len(set(every)) == 24
    for count in range(1, 24):
        before = every[:count]

        def rank(
            order: tuple[int, ...], before: tuple[tuple[int, ...], ...] = before
        ) -> tuple[int, int]:
            apart = [sum(a != b for a, b in zip(order, other, strict=True)) for other in before]
            return min(apart), sum(apart)

        left = [order for order in sorted(every) if order not in before]
        assert every[count] == max(left, key=rank)  # the first of the best


def test_a_smaller_set_begins_a_larger_one_and_a_second_call_gives_the_same() -> None:
    sets = [distant_permutations(4, count) for count in (3, 10, 24)]
    assert all(larger[: len(smaller)] == smaller for smaller, larger in pairwise(sets))
    distant_permutations.cache_clear()
    assert distant_permutations(4, 24) == sets[2]


@pytest.mark.parametrize("count", [0, 25])
def test_more_than_there_are_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"count: want 1 to 24 permutations of 4, got {count}"):
        distant_permutations(4, count)
