"""The checkpoint: whole or not at all, and refused where it does not fit."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer

from nearfar.config.training import OWN_KEYS
from nearfar.core.errors import RunError
from nearfar.training.checkpoint import Counters, load_checkpoint, save_checkpoint
from nearfar.training.optimizers import build_optimizer, parameter_groups

COUNTERS = Counters(
    epoch=3, step=21, views_seen=900, train_seconds=1.5, best_epoch=2, best_value=0.7
)


def pair(out: int = 4) -> tuple[nn.Module, Optimizer]:
    """A method of a convolution and a norm, and its optimizer after a step."""
    net = nn.Sequential(nn.Conv2d(3, out, 3), nn.BatchNorm2d(out)).to(
        memory_format=torch.channels_last
    )
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.randn(2, 3, 5, 5)).square().mean().backward()
    optimizer.step()
    return net, optimizer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "last.pt"


def test_method_optimizer_and_counters_come_back(path: Path) -> None:
    net, optimizer = pair()
    save_checkpoint(path, net, optimizer, COUNTERS)
    other, other_optimizer = pair()
    assert load_checkpoint(path, other, other_optimizer) == COUNTERS
    for name, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        saved = optimizer.state[mine]["momentum_buffer"]
        restored = other_optimizer.state[theirs]["momentum_buffer"]
        assert torch.equal(saved, restored)
        assert restored.stride() == theirs.stride()


def grouped(model: nn.Module, name: str) -> Optimizer:
    """An optimizer with four groups: a part at a constant rate, each with and without decay."""
    own = {**OWN_KEYS.get(("optimizer", "name", name), {})}
    groups = parameter_groups(model, constant_rate=("1",), decay_norms_and_biases=False)
    return build_optimizer(name, groups, lr=0.1, weight_decay=0.1, momentum=0.9, **own)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars", "rmsprop"])
def test_groups_go_on_bit_for_bit_with_the_rate_and_decay_of_each(path: Path, name: str) -> None:
    def step(net: nn.Module, optimizer: Optimizer, seed: int) -> None:
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    def made() -> tuple[nn.Module, Optimizer]:
        net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        return net, grouped(net, name)

    net, optimizer = made()
    for number, group in enumerate(optimizer.param_groups):
        group["lr"] = 0.01 * (number + 1)
    step(net, optimizer, 0)
    save_checkpoint(path, net, optimizer, COUNTERS)
    step(net, optimizer, 1)
    other, other_optimizer = made()
    load_checkpoint(path, other, other_optimizer)
    options = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    assert len(options) == 4
    for group, wanted in zip(other_optimizer.param_groups, options, strict=True):
        assert wanted.items() <= group.items()
    step(other, other_optimizer, 1)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_a_checkpoint_of_other_groups_does_not_fit(path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    save_checkpoint(path, net, grouped(net, "sgd"), COUNTERS)
    with pytest.raises(RunError, match="does not fit this run"):
        load_checkpoint(path, net, SGD(net.parameters(), lr=0.1, momentum=0.9))


def test_the_method_alone_can_be_restored(path: Path) -> None:
    net, optimizer = pair()
    save_checkpoint(path, net, optimizer, COUNTERS)
    other, _ = pair()
    assert load_checkpoint(path, other) == COUNTERS
    assert torch.equal(other.state_dict()["0.weight"], net.state_dict()["0.weight"])


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), RuntimeError("write failed\nat 12")]
)
def test_a_failing_write_leaves_the_previous_checkpoint_and_no_partial_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    net, optimizer = pair()
    save_checkpoint(path, net, optimizer, COUNTERS)
    before = path.read_bytes()

    def half_written(_content: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(
        OSError, match=r"No space left|last\.pt could not be written: write failed$"
    ):
        save_checkpoint(path, net, optimizer, Counters(epoch=4))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]


def test_an_interrupt_while_writing_leaves_the_previous_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, optimizer = pair()
    save_checkpoint(path, net, optimizer, COUNTERS)

    def interrupted(_content: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(path, net, optimizer, Counters(epoch=4))
    assert load_checkpoint(path, net, optimizer) == COUNTERS
    assert len(list(path.parent.iterdir())) == 1


def test_a_missing_checkpoint_says_that_no_epoch_was_complete(path: Path) -> None:
    with pytest.raises(
        RunError, match=r"last\.pt is missing: no epoch was complete; start again with --force"
    ):
        load_checkpoint(path, pair()[0])


def test_a_checkpoint_cut_short_or_changed_is_refused(path: Path) -> None:
    net, optimizer = pair()
    save_checkpoint(path, net, optimizer, COUNTERS)
    content = path.read_bytes()
    for kept in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(RunError, match="cannot be read"):
            load_checkpoint(path, net, optimizer)
    chance = random.Random(0)
    for _ in range(100):
        path.write_bytes(chance.randbytes(chance.randrange(60)))
        with pytest.raises(RunError, match="cannot be read"):
            load_checkpoint(path, net, optimizer)


def test_a_checkpoint_of_another_shape_does_not_fit(path: Path) -> None:
    save_checkpoint(path, *pair(4), COUNTERS)
    with pytest.raises(
        RunError, match=r"last\.pt does not fit this run .*start again with --force"
    ) as caught:
        load_checkpoint(path, *pair(5))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [{}, {"method": 3}, {"method": {}, "counters": {}}, [1], torch.zeros(3)]
)
def test_a_file_that_is_no_checkpoint_does_not_fit(path: Path, content: Any) -> None:
    path.parent.mkdir()
    torch.save(content, path)
    with pytest.raises(RunError, match="does not fit this run"):
        load_checkpoint(path, *pair())


def test_counters_of_another_version_do_not_fit(path: Path) -> None:
    net, optimizer = pair()
    path.parent.mkdir()
    torch.save(
        {"method": net.state_dict(), "optimizer": optimizer.state_dict(), "counters": {"days": 3}},
        path,
    )
    with pytest.raises(RunError, match="does not fit this run"):
        load_checkpoint(path, net, optimizer)
