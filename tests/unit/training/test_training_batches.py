"""Batches: labels only where they are wanted, and the same global batch for every number of
ranks.
"""

import torch
from train_tiny import tiny_batches

from nearfar.core.types import Batch


def epochs(**changed: object) -> list[Batch]:
    batches = tiny_batches(**changed)
    return [batch for epoch in range(batches.epochs) for batch in batches.epoch(epoch)]


def test_a_method_without_labels_is_shown_minus_one_everywhere() -> None:
    blind = epochs(with_labels=False)
    assert len(blind) == 6
    assert all(batch.labels.tolist() == [-1] * 4 for batch in blind)


def test_labels_are_those_of_the_rows_that_are_shown() -> None:
    for batch in epochs():
        assert torch.equal(batch.labels, batch.index % 2)


def test_labels_change_neither_order_nor_views() -> None:
    for blind, seeing in zip(epochs(with_labels=False), epochs(), strict=True):
        assert torch.equal(blind.index, seeing.index)
        assert torch.equal(blind.views[0], seeing.views[0])


def test_two_ranks_share_the_batch_of_one() -> None:
    whole = epochs()
    halves = [epochs(rank=rank, world_size=2) for rank in (0, 1)]
    assert len(whole) == len(halves[0]) == len(halves[1])
    for one, left, right in zip(whole, *halves, strict=True):
        assert len(left.index) == len(right.index) == 2
        for name in ("index", "draw", "labels"):
            assert torch.equal(
                getattr(one, name), torch.cat([getattr(left, name), getattr(right, name)])
            )
        assert torch.equal(one.views[0], torch.cat([left.views[0], right.views[0]], dim=1))
        assert one.progress == left.progress == right.progress


def test_a_batch_carries_seed_epoch_and_the_progress_of_the_run() -> None:
    shown = epochs(seed=7)
    assert [batch.progress for batch in shown] == [step / 6 for step in range(6)]
    assert [batch.epoch for batch in shown] == [0, 0, 0, 1, 1, 1]
    assert {batch.seed for batch in shown} == {7}
    assert shown[0].views[0].shape == (2, 4, 3, 8, 8)


def test_an_epoch_can_be_made_again_and_differs_from_the_next_and_from_another_seed() -> None:
    first, again, other = epochs(), epochs(), epochs(seed=1)
    assert all(torch.equal(a.views[0], b.views[0]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].index, first[3].index)
    assert not torch.equal(first[0].index, other[0].index)


def test_only_rows_of_the_pool_are_shown() -> None:
    pool = torch.tensor([3, 5, 7, 9])
    for batch in epochs(pool=pool):
        assert set(batch.index.tolist()) == set(pool.tolist())


def test_the_numbers_of_a_batch_come_from_a_stream_of_that_name() -> None:
    batch, same = epochs()[0], epochs()[0]
    assert torch.equal(batch.uniform("mix", 3), same.uniform("mix", 3))
    assert batch.uniform("mix", 3).shape == (4, 3)
    assert not torch.equal(batch.uniform("mix", 3), batch.uniform("drop", 3))
