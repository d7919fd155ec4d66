"""What malloc does with freed memory within `kept_memory` and at its end."""

import ctypes
import os
import sys
from pathlib import Path

import pytest
import torch

from nearfar.core.memory import kept_memory

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="needs glibc's malloc",
)
BYTES = 64 * 2**20  # of a tensor: above malloc's largest threshold for maps of their own


@pytest.fixture(autouse=True)
def _nothing_free() -> None:
    """What other tests left free in the heap goes back first, or it would be used again."""
    ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def left_after(tensors: int) -> int:
    """Bytes that the process has more, once so many large tensors were made and freed."""
    before = resident_bytes()
    many = [torch.ones(BYTES // 4) for _ in range(tensors)]
    del many
    return resident_bytes() - before


def test_freed_tensors_stay_for_the_next_and_go_back_at_the_end() -> None:
    before = resident_bytes()
    with kept_memory():
        first, *again = [left_after(8) for _ in range(6)]
    assert first > 7 * BYTES, first
    # the second may need more: small objects lie between the large ones
    assert abs(again[-1]) < BYTES, again
    assert resident_bytes() - before < BYTES


def test_the_end_of_the_heap_stays_too() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    before = resident_bytes()
    with kept_memory():
        block = libc.malloc(24 * BYTES)  # larger than any gap, so that it lies at the end
        ctypes.memset(block, 1, 24 * BYTES)
        libc.free(block)
        assert resident_bytes() - before > 23 * BYTES
    assert resident_bytes() - before < BYTES


def test_an_error_passes_and_memory_goes_back_all_the_same() -> None:
    before = resident_bytes()
    with pytest.raises(ValueError, match="within"), kept_memory():
        left_after(8)
        raise ValueError("within")
    assert resident_bytes() - before < BYTES
