"""What a run will cost, from one small step of its encoder: seconds and bytes a row."""

import copy
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from nearfar.nn.encoders import Encoder

MOST_ROWS = 256  # of a timed step
NUMBERS = 3 * 2**18  # of them together
TRIALS = 3


class RowCost(NamedTuple):
    seconds: float  # forward and backward of one row
    evaluated_seconds: float  # forward of one row by the frozen encoder, which is in float32
    saved_bytes: int  # kept for the backward
    weight_bytes: int  # parameters, their gradients and one optimizer state
    widest_bytes: int  # the largest tensor that is kept for the backward


def row_cost(encoder: Encoder, *, device: torch.device, most_rows: int = MOST_ROWS) -> RowCost:
    """Times steps of a copy of the encoder on a few rows, in training and frozen: one to warm up,
    then the fastest of three.
    """
    probe = copy.deepcopy(encoder).to(device).train()
    row = encoder.example.to(device)
    n = max(2, min(most_rows, MOST_ROWS, NUMBERS // row.numel()))
    rows = row.expand(n, *row.shape[1:])
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    def train() -> None:
        saved.clear()
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            out = probe(rows)
        if out.requires_grad:  # nothing of a frozen encoder does
            out.mean().backward()

    def evaluate() -> None:
        with torch.inference_mode():
            probe(rows)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trained = _fastest(train, device)
        probe.eval()
        evaluated = _fastest(evaluate, device)
    own = {parameter.data_ptr() for parameter in probe.parameters()}
    kept = [size for pointer, size in saved.items() if pointer not in own]
    weights = sum(parameter.numel() * parameter.element_size() for parameter in probe.parameters())
    return RowCost(
        trained / n, evaluated / n, sum(kept) // n, 3 * weights, max(kept, default=0) // n
    )


def _fastest(step: Callable[[], None], device: torch.device) -> float:
    """Seconds."""
    found = []
    for _ in range(1 + TRIALS):
        started = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return min(found[1:])
