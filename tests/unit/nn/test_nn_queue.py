"""The queue is a ring of the newest rows."""

import pytest
import torch

from nearfar.nn.queue import Queue


def numbered(*numbers: int) -> torch.Tensor:
    """(1, B, 2) rows at an angle that tells their number."""
    angle = torch.tensor(numbers, dtype=torch.float32) / 10
    return 3 * torch.stack([angle.cos(), angle.sin()], dim=1)[None]


def numbers_in(queue: Queue) -> list[int]:
    return (10 * torch.atan2(queue.rows[:, 1], queue.rows[:, 0])).round().int().tolist()


def test_it_begins_with_directions_of_no_sample_the_same_each_time():
    queue = Queue(5, 4)
    assert torch.allclose(queue.rows.norm(dim=1), torch.ones(5))
    assert len(queue.rows.unique(dim=0)) == 5
    assert torch.equal(queue.rows, Queue(5, 4).rows)
    assert queue.labels.tolist() == queue.index.tolist() == [-1] * 5
    assert not queue.full


def test_the_oldest_rows_go_first_and_labels_and_indexes_go_with_them():
    queue = Queue(5, 2)
    for first in (0, 3, 6):
        numbers = list(range(first, first + 3))
        queue.push(numbered(*numbers), torch.tensor(numbers), torch.tensor(numbers) % 2)
    assert numbers_in(queue) == queue.index.tolist() == [5, 6, 7, 8, 4]
    assert queue.labels.tolist() == [1, 0, 1, 0, 0]
    assert int(queue.pointer) == 4
    assert bool(queue.full)


@pytest.mark.parametrize("extra", [0, 1, 4])
def test_of_more_rows_than_it_holds_the_last_stay(extra):
    queue = Queue(4, 2)
    queue.push(numbered(*range(4 + extra)), torch.arange(4 + extra))
    assert (
        sorted(numbers_in(queue)) == sorted(queue.index.tolist()) == list(range(extra, 4 + extra))
    )
    assert queue.labels.tolist() == [-1] * 4
    assert bool(queue.full)
    queue.push(numbered(20), torch.tensor([20]))
    assert sorted(queue.index.tolist()) == [*range(extra + 1, 4 + extra), 20]  # the oldest has gone


def test_its_age_is_the_mean_of_samples_rows_in_pushes():
    queue = Queue(5, 2)
    ages = [float(queue.age)]
    for first in (0, 3, 6, 9):
        queue.push(numbered(*range(first, first + 3)), torch.arange(3))
        ages.append(float(queue.age))
    assert ages == pytest.approx(
        [0, 1, (3 * 1 + 2 * 2) / 5, (3 * 1 + 2 * 2) / 5, (3 * 1 + 2 * 2) / 5]
    )
    small = Queue(2, 2)
    small.push(numbered(1, 2, 3), torch.arange(3))
    assert float(small.age) == 1


def test_views_follow_one_another_and_rows_have_length_1():
    queue = Queue(4, 2)
    queue.push(torch.cat([numbered(1, 2), numbered(3, 4)]), torch.tensor([7, 8]))
    assert numbers_in(queue) == [1, 2, 3, 4]
    assert queue.index.tolist() == [7, 8, 7, 8]
    assert torch.allclose(queue.rows.norm(dim=1), torch.ones(4))


def test_everything_it_knows_is_in_its_state():
    queue, twin = Queue(3, 2), Queue(3, 2)
    queue.push(numbered(1, 2), torch.arange(2), torch.arange(2))
    twin.load_state_dict(queue.state_dict())
    for one in (queue, twin):
        one.push(numbered(3, 4), torch.arange(2))
    assert all(
        torch.equal(value, twin.state_dict()[key]) for key, value in queue.state_dict().items()
    )
    assert not any(True for _ in queue.parameters())


def test_what_is_pushed_keeps_no_graph():
    queue = Queue(3, 2)
    queue.push(numbered(1, 2).requires_grad_(), torch.arange(2))
    assert not queue.rows.requires_grad
