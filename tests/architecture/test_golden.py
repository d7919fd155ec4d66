"""The first twenty losses of each method, fixed start, float64: numerics change only on purpose."""

import json
import os
from pathlib import Path

import pytest
import torch

from nearfar.core.randomness import fold, lowbias32, stream_seed, uniform
from nearfar.core.types import Batch, DataFacts
from nearfar.methods import METHODS, method_class
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder
from nearfar.training.optimizers import build_optimizer

GOLDEN = Path(__file__).parent / "golden.json"
STEPS, SAMPLES, SIZE = 20, 8, 8


def numbers(name: str, *shape: int) -> torch.Tensor:
    """In [-1, 1), from the hash alone: no generator of any library takes part."""
    count = int(torch.tensor(shape).prod())
    keys = fold(torch.full((count,), stream_seed(0, name)), torch.arange(count))
    return (2 * uniform(lowbias32(keys), 1).double() - 1).reshape(shape)


def losses(name: str) -> list[float]:
    kind = method_class(name)
    size = max(SIZE, kind.smallest_view_px)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, size, size), architecture="conv4")
    method = kind(
        encoder, kind.Config(), DataFacts("golden", size, ("a", "b"), (50, 50), 100)
    ).double()
    for key, parameter in method.named_parameters():
        key = key.removeprefix("target.")  # a target network begins as a copy
        key = key.replace("colors.", "colours.")  # numbers by the names that they were hashed by
        parameter.data = numbers(key, *parameter.shape) * (1 / max(parameter[0].numel(), 1)) ** 0.5
    optimizer = build_optimizer(
        "sgd", method.parameters(), lr=0.05, weight_decay=1e-4, momentum=0.9
    )
    found = []
    for step in range(STEPS):
        views = numbers(f"views {step}", kind.default_count, SAMPLES, 3, size, size)
        labels = torch.arange(SAMPLES) % 2 if kind.needs_labels else torch.full((SAMPLES,), -1)
        index = torch.arange(SAMPLES)
        result = method(Batch((views,), labels, index, torch.zeros_like(index), 0, 0, step / STEPS))
        optimizer.zero_grad()
        result.loss.backward()
        method.after_backward(step / STEPS)
        optimizer.step()
        method.after_step(result.remember, step / STEPS)
        found.append(float(result.loss.detach()))
    return found


@pytest.mark.parametrize("name", list(METHODS))
def test_the_first_losses_are_the_known_ones(name):
    """After a wanted change: NEARFAR_SNAPSHOT=write, and before and after go into the commit."""
    found = losses(name)
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("NEARFAR_SNAPSHOT") == "write":
        GOLDEN.write_text(json.dumps({**known, name: found}, indent=1) + "\n")
        known[name] = found
    assert found == pytest.approx(known[name], rel=1e-6)
    assert len(set(found)) == STEPS
