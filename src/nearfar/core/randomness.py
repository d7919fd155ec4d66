"""Randomness by name: every draw is a hash of (seed, stream, epoch, sample, draw), so that it
depends on neither batch size nor worker count nor number of machines, and can be made again.

The hash is lowbias32 (Chris Wellons' 32-bit integer hash, constants 0x7feb352d and 0x846ca68b),
carried out on int64 tensors modulo 2**32, because torch multiplies uint32 on few devices.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9
_Integer = TypeVar("_Integer", int, Tensor)


def lowbias32(x: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """A bijection of [0, 2**32) that mixes well; bit-equal to the same hash in uint32
    arithmetic.
    """
    return _mix(x)


def _mix(x: _Integer) -> _Integer:
    x = x & _MASK
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _MASK
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def fold(
    key: Int64[Tensor, "*shape"], value: Int64[Tensor, "*shape"] | int
) -> Int64[Tensor, "*shape"]:
    """The hash of `key` and one more integer: one round. Broadcasts."""
    return lowbias32((key ^ (value & _MASK)) + _GOLDEN)


def stream_seed(seed: int, stream: str, *values: int) -> int:
    """One 32-bit integer from (seed, stream, ...): for torch generators and shuffles."""
    # a round of its own: xor would make 2**32 + 1 the same seed as 0
    high = [seed >> 32] if seed >> 32 else []
    key = seed & _MASK
    for value in (0, *high, zlib.crc32(stream.encode()), *values):
        key = _mix((key ^ (value & _MASK)) + _GOLDEN)
    return key


def sample_keys(
    seed: int,
    stream: str,
    epoch: int,
    index: Int64[Tensor, " batch"],
    draw: Int64[Tensor, " batch"],
) -> Int64[Tensor, " batch"]:
    """One key a sample: made once per batch; `fold` a view's number in, then `uniform`."""
    key = torch.full_like(index, stream_seed(seed, stream, epoch))
    return fold(fold(key, index), draw)


def uniform(keys: Int64[Tensor, "*shape"], n: int) -> Float[Tensor, "*shape {n}"]:
    """`n` numbers in [0, 1) for each key, float32, multiples of 2**-24."""
    counters = torch.arange(1, n + 1, device=keys.device) * _GOLDEN
    return (lowbias32(keys[..., None] + counters) >> 8).to(torch.float32) * 2.0**-24


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's own generator seeded, and put back after: for what draws from it alone, such as
    initialization.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
