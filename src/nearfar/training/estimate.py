"""What a run will cost, from one small step of its encoder: seconds and bytes a row."""

import copy
import time
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from nearfar.nn.encoders import Encoder

NUMBERS = 3 * 2**18  # of a timed step's rows together


class RowCost(NamedTuple):
    seconds: float  # forward and backward of one row
    saved_bytes: int  # kept for the backward
    weight_bytes: int  # parameters, their gradients and one optimizer state


def row_cost(encoder: Encoder, *, device: torch.device) -> RowCost:
    """Times steps of a copy of the encoder on a few rows: one to warm up, then the fastest of
    three.
    """
    probe = copy.deepcopy(encoder).to(device).train()
    row = encoder.example.to(device)
    n = max(2, min(256, NUMBERS // row.numel()))
    fastest = float("inf")
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for trial in range(4):
            saved.clear()
            started = time.perf_counter()
            with saved_tensors_hooks(keep, lambda tensor: tensor):
                out = probe(row.expand(n, *row.shape[1:]))
            out.mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - started
            fastest = min(fastest, seconds) if trial else fastest
    weights = sum(parameter.numel() * parameter.element_size() for parameter in probe.parameters())
    return RowCost(fastest / n, max(sum(saved.values()) - weights, 0) // n, 3 * weights)
