"""Randomness of views: each operation has its own stream of each view, so that a new one shifts no other.

Letters: V views, B samples.
"""

import zlib

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.core.randomness import fold, sample_keys, uniform


def view_keys(
    count: int, *, seed: int, epoch: int, index: Int64[Tensor, " batch"], draw: Int64[Tensor, " batch"]
) -> Int64[Tensor, "{count} batch"]:
    """One key for each view of each sample: a hash of (seed, epoch, sample, draw, view)."""
    keys = sample_keys(seed, "views", epoch, index, draw).expand(count, -1)
    return fold(keys, torch.arange(count, device=index.device)[:, None].expand_as(keys))


def draws(keys: Int64[Tensor, "view batch"], operation: str, n: int) -> Float[Tensor, "{n} view batch"]:
    """`n` numbers in [0, 1) for each view, of the operation's own stream; they unpack one by one."""
    return uniform(fold(keys, zlib.crc32(operation.encode())), n).movedim(-1, 0)


def between(low: float, high: float, u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Numbers of [0, 1) spread over [low, high)."""
    return low + (high - low) * u
