"""Observers: they see each step that was taken, and their numbers join the epoch's row."""

import time
from collections.abc import Iterator

import pytest
import torch
from train_tiny import Recording, tiny_batches, tiny_fit

from nearfar.core.types import StepResult
from nearfar.training.checkpoint import Counters
from nearfar.training.monitors import Monitor
from nearfar.training.observers import Means, Observer, Row, Step, Together
from nearfar.training.online_probe import OnlineProbe


class Noting:
    def __init__(self, number: float = 0.0) -> None:
        self.number = number
        self.steps: list[Step] = []

    def see(self, step: Step) -> None:
        self.steps.append(step)

    def row(self) -> Row:
        return {f"seen_{self.number:g}": float(len(self.steps))}


def step(loss: float, norm: float, **logs: float) -> Step:
    batch = next(tiny_batches().epoch(0))
    logged = {name: torch.tensor(value) for name, value in logs.items()}
    return Step(batch, StepResult(torch.zeros(()), torch.zeros(2, 4, 5), logs=logged), loss, norm)


def test_means_monitor_and_online_probe_are_observers() -> None:
    probe = OnlineProbe(torch.arange(16) % 2, 5, 2, torch.device("cpu"))
    assert all(isinstance(one, Observer) for one in (Means(), Monitor(), probe, Together()))


def test_means_are_over_the_steps_that_were_seen() -> None:
    means = Means()
    assert means.row() == {}
    means.see(step(1.0, 4.0, chance=0.5))
    means.see(step(2.0, 0.0, chance=1.5))
    assert means.row() == {"loss": 1.5, "grad_norm": 2.0, "chance": 1.0}


def test_each_observer_sees_each_step_and_says_its_numbers_after_each_epoch() -> None:
    one, two = Noting(1), Noting(2)
    method = Recording()
    rows = tiny_fit(method, observers=(one, two))
    assert [row["seen_1"] for row in rows] == [row["seen_2"] for row in rows] == [3.0, 6.0]
    assert list(rows[0])[-3:] == ["lr", "seen_1", "seen_2"]
    assert [seen.batch for seen in one.steps] == method.batches
    assert [seen.loss for seen in one.steps] == method.losses
    norms = [
        torch.cat([g.flatten() for g in gradients if g is not None]).norm()
        for gradients in method.gradients
    ]
    assert [seen.gradient_norm for seen in one.steps] == pytest.approx([float(n) for n in norms])


def test_a_step_is_seen_once_it_is_taken() -> None:
    method = Recording()

    class Watching(Noting):
        def see(self, step: Step) -> None:
            super().see(step)
            assert method.calls[-1] == f"after_step {len(self.steps)}"

    watching = Watching()
    tiny_fit(method, observers=(watching,))
    assert len(watching.steps) == 6


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that can be put forward: seconds ahead of the true one."""
    ahead, true = [0.0], time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: true() + ahead[0])
    yield ahead


def test_an_observer_s_time_is_not_the_run_s(clock: list[float]) -> None:
    class Slow(Noting):
        def see(self, step: Step) -> None:
            super().see(step)
            clock[0] += 1000.0

    slow, counters = Slow(), Counters()
    tiny_fit(Recording(), counters=counters, observers=(slow,))
    assert len(slow.steps) == 6
    assert 0 < counters.train_seconds < 500


def test_the_time_of_the_steps_is_the_run_s(clock: list[float]) -> None:
    method, counters = Recording(), Counters()
    method.register_forward_hook(lambda *_: clock.__setitem__(0, clock[0] + 1000.0))
    tiny_fit(method, counters=counters)
    assert 6000 < counters.train_seconds < 6500


def test_several_together_say_what_each_says() -> None:
    one, two = Noting(1), Noting(2)
    together = Together(one, two)
    together.see(step(0.0, 0.0))
    assert together.row() == {"seen_1": 1.0, "seen_2": 1.0}
    assert 0 < together.seconds < 60
