"""The number of threads follows from the work, and from what the user has asked for."""

from collections.abc import Iterator

import pytest
import torch

from nearfar.core.threads import ASKED_FOR_BY, ONE_THREAD_UP_TO, threads_for

CPU = torch.device("cpu")
DIGITS = 2 * 256 * 69_120  # multiply-adds: two views of 256 images, through conv4


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many as on a machine with three cores, and nobody has asked for a number."""
    for name in ASKED_FOR_BY:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("work", "threads"),
    [(0, 1), (DIGITS, 1), (ONE_THREAD_UP_TO, 1), (ONE_THREAD_UP_TO + 1, 3), (10**12, 3)],
)
def test_small_steps_have_one_thread_and_others_all(work: int, threads: int) -> None:
    with threads_for(work, CPU):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


def test_threads_come_back_whatever_happens() -> None:
    with pytest.raises(KeyboardInterrupt), threads_for(1, CPU):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("name", ASKED_FOR_BY)
def test_a_number_in_the_environment_stands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    with threads_for(1, CPU):
        assert torch.get_num_threads() == 3


def test_beside_a_gpu_nothing_changes() -> None:
    with threads_for(1, torch.device("cuda")):
        assert torch.get_num_threads() == 3
