"""How many batches hold a pair: against every batch there is, and against the batches drawn."""

from collections import Counter
from itertools import combinations, product
from math import prod

import pytest
import torch

from nearfar.core.types import BatchNeeds
from nearfar.data.pairs import share_with_pairs, share_without_positive
from nearfar.data.sampler import UNIFORM, Sampling, epoch_batches

BALANCED, SQRT = Sampling("balanced"), Sampling("sqrt")


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
        BatchNeeds(*needs), counts, unlabeled=unlabeled, batch_size=size, sampling=UNIFORM
    )
    assert found == pytest.approx(sum(holds(b, *needs) for b in batches) / len(batches))


@pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("sampling", [BALANCED, SQRT])
def test_the_share_is_that_of_all_batches_by_class(needs, size, sampling):
    counts = (9, 4, 1, 0)
    shares = {BALANCED: (1 / 3, 1 / 3, 1 / 3), SQRT: (3 / 6, 2 / 6, 1 / 6)}[sampling]
    wanted = sum(
        prod(shares[label] for label in batch)
        for batch in product(range(3), repeat=size)
        if holds(batch, *needs)
    )
    found = share_with_pairs(
        BatchNeeds(*needs), counts, unlabeled=0, batch_size=size, sampling=sampling
    )
    assert found == pytest.approx(wanted)


def test_groups_of_a_class_hold_equals_and_several_groups_hold_others():
    def share(needs, size, m):
        groups = Sampling("m_per_class", m)
        return share_with_pairs(needs, (9, 9, 1), unlabeled=0, batch_size=size, sampling=groups)

    assert share(BatchNeeds(equals=True), 4, 2) == share(BatchNeeds(others=True), 4, 2) == 1.0
    assert share(BatchNeeds(others=True), 2, 2) == share(BatchNeeds(equals=True), 3, 1) == 0.0


@pytest.mark.parametrize("unlabeled", [0, 3])
@pytest.mark.parametrize("size", [2, 3, 6])
def test_the_anchors_without_a_positive_are_those_of_all_batches(unlabeled, size):
    counts = (4, 0, 1, 2)
    pool = [label for label, count in enumerate(counts) for _ in range(count)]
    pool += [f"unlabeled {number}" for number in range(unlabeled)]
    batches = list(combinations(pool, size))
    alone = sum(Counter(batch)[label] == 1 for batch in batches for label in batch)
    found = share_without_positive(counts, unlabeled=unlabeled, batch_size=size, sampling=UNIFORM)
    assert found == pytest.approx(alone / (size * len(batches)))


@pytest.mark.parametrize("sampling", [UNIFORM, BALANCED, SQRT, Sampling("m_per_class", 2)])
def test_the_anchors_without_a_positive_are_those_drawn(sampling):
    counts = (60, 20, 10, 5, 3, 2)
    labels = torch.repeat_interleave(torch.arange(6), torch.tensor(counts))
    alone = places = 0
    for rows, _ in epoch_batches(
        torch.arange(100), labels, batch_size=8, seed=0, epoch=0, sampling=sampling, steps=3000
    ):
        alone += int((torch.bincount(labels[rows]) == 1).sum())
        places += len(rows)
    found = share_without_positive(counts, unlabeled=0, batch_size=8, sampling=sampling)
    assert alone / places == pytest.approx(found, abs=0.01)


def test_a_lone_image_has_no_positive():
    one = share_without_positive((5, 5), unlabeled=0, batch_size=1, sampling=UNIFORM)
    none = share_without_positive((0, 0), unlabeled=9, batch_size=4, sampling=UNIFORM)
    assert one == none == 1.0
    assert share_without_positive((), unlabeled=0, batch_size=4, sampling=UNIFORM) == 1.0


@pytest.mark.parametrize("sampling", [UNIFORM, BALANCED])
def test_the_share_is_that_of_the_batches_drawn(sampling):
    counts, needs = (250, 20), BatchNeeds(others=True)
    labels = torch.tensor([0] * 250 + [1] * 20)
    drawn = [
        labels[rows].unique().numel() == 2
        for rows, _ in epoch_batches(
            torch.arange(270), labels, batch_size=4, seed=0, epoch=0, sampling=sampling, steps=4000
        )
    ]
    found = share_with_pairs(needs, counts, unlabeled=0, batch_size=4, sampling=sampling)
    assert sum(drawn) / len(drawn) == pytest.approx(found, abs=0.03)


def test_large_sets_are_quick_and_a_batch_of_one_has_no_pair():
    many = share_with_pairs(
        BatchNeeds(True, True), [60] * 1000, unlabeled=100_000, batch_size=256, sampling=UNIFORM
    )
    assert 0.9 < many < 1
    for unlabeled in (0, 10**6):
        alone = share_without_positive(
            [1] * 100_000, unlabeled=unlabeled, batch_size=256, sampling=UNIFORM
        )
        assert alone == 1.0
    for needs, share in ((BatchNeeds(equals=True), 0.0), (BatchNeeds(), 1.0)):
        assert share_with_pairs(needs, [5, 5], unlabeled=0, batch_size=1, sampling=UNIFORM) == share


def test_large_batches_with_few_labels_have_a_share():
    """Of a batch of 1,024 the ways to choose 512 are more than a number of 8 bytes holds."""
    needs = BatchNeeds(equals=True)
    shares = [
        share_with_pairs(needs, [10] * 10, unlabeled=44_900, batch_size=size, sampling=UNIFORM)
        for size in (256, 1024, 4096)
    ]
    assert 0 < shares[0] < shares[1] < shares[2] < 1
