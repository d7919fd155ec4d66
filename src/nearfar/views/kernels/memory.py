"""Memory for views, used again: the system clears fresh pages, which costs more than making large
views does.

A buffer is lent as a numpy array from which a tensor is made. A tensor made from an array holds a
reference to it for as long as anything needs its memory, views and autograd's saved tensors
included, so an array that only the pool refers to is free.
"""

import sys
import threading
from typing import final

import numpy as np
from jaxtyping import Float32

_KEPT = 4  # buffers
_MOST_WASTE = 2  # a buffer is used for at least this part of its size
_probe = [np.empty(1, np.float32)]
# the count of an array that only its list refers to, asked for in this way
_ALONE = sys.getrefcount(_probe[0])


@final
class Pool:
    """Lends arrays of float32, each to one borrower at a time; keeps the few that were used
    last.
    """

    def __init__(self) -> None:
        self._buffers: list[Float32[np.ndarray, " _"]] = []
        self._lock = threading.Lock()

    def borrow(self, n: int) -> Float32[np.ndarray, " {n}"]:
        """`n` numbers, whatever they are. The memory is the borrower's until nothing refers to the
        array any more.
        """
        with self._lock:
            for at in range(len(self._buffers)):
                fits = n <= len(self._buffers[at]) <= _MOST_WASTE * n
                if fits and sys.getrefcount(self._buffers[at]) == _ALONE:
                    self._buffers.append(self._buffers.pop(at))
                    return self._buffers[-1][:n]  # refers to the buffer
            buffer = np.empty(n, np.float32)
            self._buffers = [*self._buffers[1 - _KEPT :], buffer]
            return buffer[:n]
