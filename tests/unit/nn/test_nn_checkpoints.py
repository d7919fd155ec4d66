"""Files of weights are read as tensors, by whole names, and refused in one line where they are
not.
"""

import argparse
import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nearfar.core.errors import UserError
from nearfar.nn.checkpoints import read_checkpoint
from nearfar.nn.conv4 import conv4

STATE = conv4().state_dict()


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"encoder.weights: {path}")
    return str(caught.value)


def test_tensors_have_the_names_of_all_dictionaries_around_them(tmp_path: Path) -> None:
    """Beside what a script saves too: its options, numbers, an optimizer's lists."""
    content = {
        "opt": argparse.Namespace(model="resnet50", lr_decay_epochs=[700, 800]),
        "epoch": 3,
        "best": None,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
        "model": {"encoder": {"weight": torch.zeros(3)}, "head.bias": torch.ones(1)},
    }
    torch.save(content, tmp_path / "w.pth")
    found = read_checkpoint(tmp_path / "w.pth")
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "optimizer.state.0.exp_avg": [1, 1],
        "model.encoder.weight": [0, 0, 0],
        "model.head.bias": [1],
    }


class Mischief:
    """What a hostile file unpickles to: a call."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("how", ["pickle", "torch.save"])
def test_code_in_a_file_is_refused_and_never_runs(tmp_path: Path, how: str) -> None:
    path, touched = tmp_path / "w.pt", tmp_path / "touched"
    content = {**STATE, "extra": Mischief(touched)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    message = refusal(path)
    assert "holds more than weights, and is not opened; save it as .safetensors" in message
    assert not touched.exists()
    with path.open("rb") as file:  # the proof that it was armed
        torch.load(file, weights_only=False) if how == "torch.save" else pickle.load(file)
    assert touched.exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    save_file(STATE, whole) if suffix == "safetensors" else torch.save(STATE, whole)
    content = whole.read_bytes()
    for kept in (0, 1, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        assert "\n" not in refusal(path)


def test_random_bytes_are_refused_whatever_they_are(tmp_path: Path) -> None:
    """Pickles are programs: 300 short random ones once gave IndexError or KeyError 15 times."""
    chance = random.Random(0)
    path = tmp_path / "random.pt"
    for _ in range(150):
        path.write_bytes(chance.randbytes(chance.randrange(60)))
        refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path / "none.safetensors", tmp_path):
        assert "cannot be read" in refusal(path)


def test_a_file_that_holds_no_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    for content in (torch.zeros(3), [torch.zeros(3)], {"a": 1}, {"state_dict": {"a": [1]}}):
        torch.save(content, path)
        assert "holds no state dict of tensors" in refusal(path)
