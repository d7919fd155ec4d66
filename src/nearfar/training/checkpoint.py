"""The checkpoint that `--resume` continues from: written whole or not at all."""

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nearfar.core.errors import RunError
from nearfar.core.writing import whole
from nearfar.nn.checkpoints import DAMAGED
from nearfar.training.online_probe import OnlineProbe
from nearfar.training.optimizers import load_optimizer_state


@dataclass
class Counters:
    """How far a run has come."""

    epoch: int = 0  # complete epochs
    step: int = 0
    steps_without_pair: int = 0  # of these, those that were left out: nothing to learn from
    views_seen: int = 0
    train_seconds: float = 0.0  # of training alone, without evaluation
    total_seconds: float = 0.0  # of everything, over all sessions of a resumed run
    best_epoch: int = 0  # of the selection on validation; 0 where none was taken
    best_value: float = -1.0


def save_checkpoint(
    path: Path,
    method: nn.Module,
    optimizer: Optimizer,
    counters: Counters,
    online_probe: OnlineProbe | None = None,
) -> None:
    """Whole or not at all: an interrupt leaves the previous checkpoint. OSError: disk full."""
    content = {
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "counters": asdict(counters),
    }
    if online_probe is not None:
        content["online_probe"] = online_probe.state()
    path.parent.mkdir(exist_ok=True)
    try:
        with whole(path) as partial:
            torch.save(content, partial)
    except RuntimeError as error:  # torch's writer reports a full disk so
        raise OSError(f"{path} could not be written: {str(error).splitlines()[0]}") from error


def load_checkpoint(
    path: Path,
    method: nn.Module,
    optimizer: Optimizer | None = None,
    online_probe: OnlineProbe | None = None,
) -> Counters:
    """Fills method, optimizer and online probe. RunError: missing, cut short, or of another
    configuration.
    """
    content = _read(path)
    try:
        method.load_state_dict(content["method"])
        if optimizer is not None:
            load_optimizer_state(optimizer, content["optimizer"])
        if online_probe is not None:
            online_probe.load(content["online_probe"])
        return Counters(**content["counters"])
    except DAMAGED as error:
        reason = str(error).split("\n")[0]
        raise RunError(
            f"{path} does not fit this run ({reason}); start again with --force"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(
            f"{path} is missing: no epoch was complete; start again with --force"
        ) from error
    except (OSError, pickle.UnpicklingError, *DAMAGED) as error:
        raise RunError(f"{path} cannot be read (cut short?); start again with --force") from error
    if not isinstance(content, dict):
        raise RunError(
            f"{path} does not fit this run (it is no checkpoint); start again with --force"
        )
    return content
