"""The number formats that losses are computed in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_precision(x: Tensor) -> Iterator[None]:
    """No autocast in here: a loss is computed in at least float32 whatever surrounds it."""
    with torch.autocast(x.device.type, enabled=False):
        yield


def at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def takes_half(z: Tensor) -> bool:
    """Whether products may be taken in bf16: the rows came in it, on a device that has a kernel for
    it.
    """
    return z.dtype == torch.bfloat16 and z.device.type == "cuda"
