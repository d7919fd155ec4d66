"""Images go through a few threads in their order, a bounded number at a time."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from nearfar.data.reading import in_order


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("images")]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (7 - item % 8))  # later items of eight are done first
        return item * item

    assert list(in_order(work, range(40), workers, ahead=3)) == [n * n for n in range(40)]
    assert not alive()


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (3, 6)])
def test_no_more_items_are_taken_than_threads_have_in_hand(workers: int, most: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    ahead = []
    for given, _ in enumerate(in_order(lambda item: item, items(), workers, ahead=2)):
        ahead.append(taken - given)
    assert max(ahead) == most


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_in_turn_and_nothing_is_begun_after_it(workers: int) -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.005)
        if item == 5:
            raise OSError("vanished")
        return item

    results = in_order(work, range(1000), workers, ahead=20)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="vanished"):
        next(results)
    assert not alive()
    assert len(begun) <= 30  # of 60 in hand


def test_what_is_left_early_begins_nothing_more() -> None:
    begun: list[int] = []
    with closing(in_order(begun.append, range(1000), 3, ahead=2)) as results:
        next(results)
    assert not alive()
    assert len(begun) <= 7


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where a test is started in the background, interrupts are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_threads_work_ends_them() -> None:
    def items() -> Iterator[int]:
        yield from range(20)
        signal.raise_signal(signal.SIGINT)
        yield from range(1000)

    finished: list[int] = []

    def work(item: int) -> None:
        time.sleep(0.01)
        finished.append(item)

    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, items(), 3, ahead=2))
    assert not alive()
    assert 14 <= len(finished) <= 20
