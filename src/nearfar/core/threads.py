"""How many threads a run computes with: by rule, because the last bits of a sum depend on it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Multiply-adds of a step's forward. conv4's steps on images of 8 px have up to 35 million; their
# layers take some 100 µs, which is what threads need to wait for each other.
ONE_THREAD_UP_TO = 50_000_000
ASKED_FOR_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def threads_for(multiply_adds: int, device: torch.device) -> Iterator[None]:
    """Within it torch, and with it nearfar, computes steps with so many multiply-adds in one thread
    where they are small, else in as many as before; afterwards in as many as before.

    A number that the user has set in the environment stands.
    """
    asked = any(os.environ.get(name) for name in ASKED_FOR_BY)
    if asked or device.type != "cpu" or multiply_adds > ONE_THREAD_UP_TO:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def threads_shared_by(callers: int) -> Iterator[None]:
    """Within it so many threads that begin there compute with a share of torch's threads each."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // callers))
    try:
        yield
    finally:
        torch.set_num_threads(before)
