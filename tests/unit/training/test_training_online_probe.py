"""The online probe: it learns, and nothing learns from it."""

from pathlib import Path

import pytest
import torch
from train_tiny import Recording, tiny_batches, tiny_fit

from nearfar.core.errors import RunError
from nearfar.core.types import Batch, StepResult
from nearfar.training.checkpoint import Counters, load_checkpoint, save_checkpoint
from nearfar.training.observers import Step
from nearfar.training.online_probe import NAME, OnlineProbe

CPU = torch.device("cpu")
TABLE = torch.arange(16) % 2


def step(h: torch.Tensor, index: torch.Tensor) -> Step:
    batch = Batch((h,), torch.full_like(index, -1), index, index * 0, 0, 0, 0.0)
    return Step(batch, StepResult(torch.zeros(()), h), 0.0, 0.0)


def separable(index: torch.Tensor) -> torch.Tensor:
    """Two views in which the sign of the third number is the class."""
    h = torch.randn(2, len(index), 5, generator=torch.Generator().manual_seed(int(index.sum())))
    h[..., 2] = (2 * TABLE[index] - 1) * (1 + h[..., 2].abs())
    return h


def test_it_learns_what_is_separable_and_judges_before_it_learns() -> None:
    probe = OnlineProbe(TABLE, 5, 2, CPU)
    everything = torch.arange(16)
    probe.see(step(separable(everything), everything))
    assert probe.row() == {NAME: 0.5}  # nothing learnt yet: the first class everywhere
    for _ in range(100):
        probe.see(step(separable(everything), everything))
    probe.row()
    probe.see(step(separable(everything), everything))
    assert probe.row()[NAME] == 1.0
    assert probe.row() == {}


def test_rows_without_a_label_are_left_out() -> None:
    index = torch.tensor([0, 1, 2, 3])
    probe = OnlineProbe(torch.tensor([0, -1, -1, 0, 1]), 5, 2, CPU)
    probe.see(step(torch.randn(2, 4, 5), index))
    assert probe.row() == {NAME: 1.0}  # four rows, all of class 0
    before = [p.clone() for p in probe.net.parameters()]
    probe.see(step(torch.full((2, 2, 5), torch.nan), torch.tensor([1, 2])))
    assert all(torch.equal(a, b) for a, b in zip(before, probe.net.parameters(), strict=True))
    assert probe.row() == {}


def test_no_gradient_goes_back_and_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    probe = OnlineProbe(TABLE, 5, 2, CPU)
    leaf = torch.randn(2, 16, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    probe.see(step(leaf * 2, torch.arange(16)))
    assert leaf.grad is None
    assert torch.equal(before, torch.get_rng_state())
    assert any(bool(p.abs().sum() > 0) for p in probe.net.parameters())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_run_has_the_same_bits_with_it_and_without(dropout: float) -> None:
    with_it, without = Recording(dropout), Recording(dropout)
    rows = tiny_fit(with_it, observers=(OnlineProbe(TABLE, 5, 2, CPU),))
    plain = tiny_fit(without)
    assert all(0 <= row.pop(NAME) <= 1 for row in rows)
    assert rows == plain
    assert with_it.losses == without.losses
    for mine, theirs in zip(with_it.parameters(), without.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_method_is_given_no_labels_while_the_probe_has_them() -> None:
    method, probe = Recording(), OnlineProbe(TABLE, 5, 2, CPU)
    rows = tiny_fit(method, tiny_batches(with_labels=False), observers=(probe,))
    assert len(method.batches) == 6
    assert all(batch.labels.tolist() == [-1] * 4 for batch in method.batches)
    assert len(rows) == 2
    assert all(NAME in row for row in rows)


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    one, two, whole = (OnlineProbe(TABLE, 5, 2, CPU) for _ in range(3))
    method = Recording()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    index = torch.arange(16)
    for _ in range(3):
        one.see(step(separable(index), index))
        whole.see(step(separable(index), index))
    path = tmp_path / "checkpoint" / "last.pt"
    save_checkpoint(path, method, optimizer, Counters(), one)
    load_checkpoint(path, method, optimizer, two)
    for probe in (two, whole):
        probe.see(step(separable(index[:7]), index[:7]))
    for name, value in whole.net.state_dict().items():
        assert torch.equal(two.net.state_dict()[name], value)
    save_checkpoint(path, method, optimizer, Counters())
    with pytest.raises(RunError, match="does not fit this run"):
        load_checkpoint(path, method, optimizer, two)
