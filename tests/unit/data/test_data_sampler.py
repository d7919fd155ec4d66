from collections import Counter
from itertools import islice

import pytest
import torch
from scipy.stats import chisquare

from nearfar.data import epoch_batches
from nearfar.data.sampler import UNIFORM, Sampling

POOL = torch.arange(1000, 1103)
LABELS = torch.tensor([0] * 70 + [1] * 30 + [2] * 3)
BALANCED, SQRT, GROUPS = Sampling("balanced"), Sampling("sqrt"), Sampling("m_per_class", 8)
EVERY = [UNIFORM, BALANCED, SQRT, GROUPS]


def epoch(**options):
    settings = {"batch_size": 16, "seed": 0, "epoch": 0} | options
    return list(epoch_batches(POOL, LABELS, **settings))


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("sampling", EVERY)
def test_ranks_together_see_the_batch_of_one(world_size, sampling):
    whole = epoch(sampling=sampling, steps=9)
    ranks = [
        epoch(sampling=sampling, steps=9, rank=r, world_size=world_size) for r in range(world_size)
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


@pytest.mark.parametrize("sampling", EVERY)
def test_a_position_continues_exactly_on_another_number_of_ranks(sampling):
    done = [
        list(islice(epoch_on(r, 2, sampling), 5)) for r in range(2)
    ]  # 5 steps on 2 ranks, the rest on 4
    rest = [list(islice(epoch_on(r, 4, sampling), 5, None)) for r in range(4)]
    whole = list(epoch_on(0, 1, sampling))
    assert len(whole) == 12
    for part, first in ((done, 0), (rest, 5)):
        for step, of_ranks in enumerate(zip(*part, strict=True), start=first):
            for kind in (0, 1):
                together = torch.cat([one[kind] for one in of_ranks])
                assert torch.equal(together, whole[step][kind])


def epoch_on(rank, world_size, sampling):
    return epoch_batches(
        *(POOL, LABELS),
        batch_size=16,
        seed=3,
        epoch=2,
        steps=12,
        sampling=sampling,
        rank=rank,
        world_size=world_size,
    )


@pytest.mark.parametrize("sampling", EVERY)
def test_equal_samples_of_an_epoch_have_distinct_draws(sampling):
    seen = Counter()
    for rows, draw in epoch(steps=40, sampling=sampling):
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


@pytest.mark.parametrize("sampling", [BALANCED, SQRT])
def test_classes_are_as_likely_as_asked_in_every_place(sampling):
    classes = torch.zeros(2, 3)
    for number in range(200):
        for rows, _ in epoch(sampling=sampling, epoch=number):
            kinds = LABELS[rows - 1000]
            classes[0] += torch.bincount(kinds[:8], minlength=3)
            classes[1] += torch.bincount(kinds[8:], minlength=3)
    roots = [70**0.5, 30**0.5, 3**0.5]
    shares = [1 / 3] * 3 if sampling is BALANCED else [root / sum(roots) for root in roots]
    assert sampling.shares([70, 30, 3]) == pytest.approx(shares)
    for counts in classes.double().numpy():
        assert chisquare(counts, [counts.sum() * share for share in shares]).pvalue > 1e-3


def test_groups_are_of_one_class_each_and_classes_take_turns():
    batches = epoch(sampling=GROUPS, steps=60)
    seen = Counter()
    for rows, _ in batches:
        first, second = LABELS[rows - 1000].split(8)
        assert len(first.unique()) == len(second.unique()) == 1
        assert first[0] != second[0]
        seen.update([int(first[0]), int(second[0])])
        large = rows[LABELS[rows - 1000] < 2]  # classes with at least 8 samples
        assert len(large.unique()) == len(large)
    assert min(seen.values()) >= 28


def test_groups_repeat_no_sample_before_the_class_is_exhausted():
    rows, draw = (torch.cat(parts) for parts in zip(*epoch(sampling=GROUPS, steps=30), strict=True))
    of_small = rows[LABELS[rows - 1000] == 2]
    assert set(of_small[:3].tolist()) == {1100, 1101, 1102}
    assert int(draw[LABELS[rows - 1000] == 2].max()) >= 2
    of_large = rows[LABELS[rows - 1000] == 0][:64]  # a pass of 70 has 8 whole groups
    assert len(of_large.unique()) == 64


def test_a_class_of_each_of_many_images_is_quick():
    n = 100_000
    pool = torch.arange(n)
    for sampling in (BALANCED, SQRT, Sampling("m_per_class", 2)):
        rows, _ = next(
            epoch_batches(pool, pool, batch_size=64, seed=0, epoch=0, sampling=sampling, steps=8)
        )
        assert len(rows) == 64


def test_balanced_repeats_nothing_before_the_class_is_exhausted():
    batches = epoch(sampling=BALANCED, steps=30)
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
        {"sampling": Sampling("m_per_class", 5)},
        {"sampling": Sampling("m_per_class", 4)},
    ],
)
def test_what_cannot_be_cut_is_refused_before_the_first_batch(options):
    with pytest.raises(ValueError, match="want"):
        epoch_batches(POOL, LABELS, **({"batch_size": 16, "seed": 0, "epoch": 0} | options))


def test_balanced_refuses_unlabeled_samples():
    with pytest.raises(ValueError, match="label"):
        epoch_batches(POOL, LABELS - 1, batch_size=8, seed=0, epoch=0, sampling=BALANCED)
    # TypeError where shapes are checked
    with pytest.raises((ValueError, TypeError), match="label"):
        epoch_batches(POOL, LABELS[:5], batch_size=8, seed=0, epoch=0)
