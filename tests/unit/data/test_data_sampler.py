from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from nearfar.data import epoch_batches

POOL = torch.arange(1000, 1103)
LABELS = torch.tensor([0] * 70 + [1] * 30 + [2] * 3)


def epoch(**options):
    settings = {"batch_size": 16, "seed": 0, "epoch": 0} | options
    return list(epoch_batches(POOL, LABELS, **settings))


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("balanced", [False, True])
def test_ranks_together_see_the_batch_of_one(world_size, balanced):
    whole = epoch(balanced=balanced, steps=9)
    ranks = [
        epoch(balanced=balanced, steps=9, rank=r, world_size=world_size) for r in range(world_size)
    ]
    assert len(whole) == 9
    for step, (rows, draw) in enumerate(whole):
        assert torch.equal(torch.cat([rank[step][0] for rank in ranks]), rows)
        assert torch.equal(torch.cat([rank[step][1] for rank in ranks]), draw)


def test_one_pass_shows_no_sample_twice_and_drops_the_rest():
    rows = torch.cat([rows for rows, _ in epoch()])
    assert len(rows) == 96
    assert len(rows.unique()) == 96
    assert set(rows.tolist()) <= set(POOL.tolist())
    assert all((draw == 0).all() for _, draw in epoch())


def test_the_order_is_a_function_of_seed_and_epoch():
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(epoch(), epoch(), strict=True))
    assert not torch.equal(epoch()[0][0], epoch(epoch=1)[0][0])
    assert not torch.equal(epoch()[0][0], epoch(seed=1)[0][0])
    assert torch.equal(epoch()[1][0], epoch(steps=2)[1][0])


@pytest.mark.parametrize("balanced", [False, True])
def test_equal_samples_of_an_epoch_have_distinct_draws(balanced):
    seen = Counter()
    for rows, draw in epoch(steps=40, balanced=balanced):
        seen.update(zip(rows.tolist(), draw.tolist(), strict=True))
    assert sum(seen.values()) == 640
    assert max(seen.values()) == 1
    for row, draw in seen:
        assert draw == 0 or (row, draw - 1) in seen


def test_more_steps_than_a_pass_shuffle_anew():
    batches = epoch(steps=12)
    first, second = (torch.cat([rows for rows, _ in batches[k : k + 6]]) for k in (0, 6))
    assert not torch.equal(first, second)
    assert len(second.unique()) == 96
    assert 0 < (batches[6][1] == 1).sum() <= 16


def test_balanced_classes_are_equally_likely_in_every_place():
    classes = torch.zeros(2, 3)
    for number in range(200):
        for rows, _ in epoch(balanced=True, epoch=number):
            kinds = LABELS[rows - 1000]
            classes[0] += torch.bincount(kinds[:8], minlength=3)
            classes[1] += torch.bincount(kinds[8:], minlength=3)
    assert chisquare(classes[0].numpy()).pvalue > 1e-3
    assert chisquare(classes[1].numpy()).pvalue > 1e-3


def test_balanced_repeats_nothing_before_the_class_is_exhausted():
    batches = epoch(balanced=True, steps=30)
    rows, draw = (torch.cat(parts) for parts in zip(*batches, strict=True))
    for label in range(3):
        members = POOL[label == LABELS]
        drawn = rows[LABELS[rows - 1000] == label]
        turns = draw[LABELS[rows - 1000] == label]
        for turn in range(len(drawn) // len(members)):
            part = drawn[turn * len(members) : (turn + 1) * len(members)]
            assert set(part.tolist()) == set(members.tolist())
            assert (turns[turn * len(members) : (turn + 1) * len(members)] == turn).all()


def test_every_sample_of_a_pass_is_equally_likely_to_be_dropped():
    seen = Counter()
    for number in range(300):
        for rows, _ in epoch(epoch=number):
            seen.update(rows.tolist())
    assert chisquare([seen[row] for row in POOL.tolist()]).pvalue > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 6, "world_size": 4},
        {"batch_size": 104},
        {"rank": 2, "world_size": 2},
        {"batch_size": 0},
    ],
)
def test_what_cannot_be_cut_is_refused_before_the_first_batch(options):
    with pytest.raises(ValueError, match="want"):
        epoch_batches(POOL, LABELS, **({"batch_size": 16, "seed": 0, "epoch": 0} | options))


def test_balanced_refuses_unlabeled_samples():
    with pytest.raises(ValueError, match="label"):
        epoch_batches(POOL, LABELS - 1, batch_size=8, seed=0, epoch=0, balanced=True)
    # TypeError where shapes are checked
    with pytest.raises((ValueError, TypeError), match="label"):
        epoch_batches(POOL, LABELS[:5], batch_size=8, seed=0, epoch=0)
