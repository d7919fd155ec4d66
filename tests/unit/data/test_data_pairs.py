"""How many batches hold a pair: against every batch there is, and against the batches drawn."""

from itertools import combinations, product

import pytest
import torch

from nearfar.core.types import BatchNeeds
from nearfar.data.pairs import share_with_pairs
from nearfar.data.sampler import epoch_batches


def holds(batch, equals, others):
    """Of labels; each -1 is a class of its own."""
    classes = {label if label >= 0 else (place,) for place, label in enumerate(batch)}
    return (not equals or len(classes) < len(batch)) and (not others or len(classes) > 1)


@pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("unlabeled", [0, 2])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_share_is_that_of_all_batches(needs, unlabeled, size):
    counts = (3, 0, 1, 2)
    pool = [label for label, count in enumerate(counts) for _ in range(count)] + [-1] * unlabeled
    batches = list(combinations(pool, size))
    found = share_with_pairs(
        BatchNeeds(*needs), counts, unlabeled=unlabeled, batch_size=size, balanced=False
    )
    assert found == pytest.approx(sum(holds(b, *needs) for b in batches) / len(batches))
    if not unlabeled:
        batches = list(product((0, 2, 3), repeat=size))
        found = share_with_pairs(
            BatchNeeds(*needs), counts, unlabeled=0, batch_size=size, balanced=True
        )
        assert found == pytest.approx(sum(holds(b, *needs) for b in batches) / len(batches))


@pytest.mark.parametrize("balanced", [False, True])
def test_the_share_is_that_of_the_batches_drawn(balanced):
    counts, needs = (250, 20), BatchNeeds(others=True)
    labels = torch.tensor([0] * 250 + [1] * 20)
    drawn = [
        labels[rows].unique().numel() == 2
        for rows, _ in epoch_batches(
            torch.arange(270), labels, batch_size=4, seed=0, epoch=0, balanced=balanced, steps=4000
        )
    ]
    found = share_with_pairs(needs, counts, unlabeled=0, batch_size=4, balanced=balanced)
    assert sum(drawn) / len(drawn) == pytest.approx(found, abs=0.03)


def test_large_sets_are_quick_and_a_batch_of_one_has_no_pair():
    many = share_with_pairs(
        BatchNeeds(True, True), [60] * 1000, unlabeled=100_000, batch_size=256, balanced=False
    )
    assert 0.9 < many < 1
    for needs, share in ((BatchNeeds(equals=True), 0.0), (BatchNeeds(), 1.0)):
        assert share_with_pairs(needs, [5, 5], unlabeled=0, batch_size=1, balanced=False) == share
