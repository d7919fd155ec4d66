"""Orders that are far from one another: what a jigsaw puzzle asks to tell apart."""

from functools import cache
from itertools import permutations

import numpy as np


@cache
def distant_permutations(length: int, count: int) -> tuple[tuple[int, ...], ...]:
    """`count` permutations of 0 ... length - 1, chosen greedily by Hamming distance: each next one
    is farthest from the nearest of those chosen, of such the farthest on average, of such the first
    in lexicographic order; the first is 0 ... length - 1.

    Noroozi & Favaro 2016, arXiv:1603.09246, algorithm 1, which looks at the average alone: its sets
    hold pairs that differ in two places. ValueError: there are not so many.
    """
    # (length, n): sums run along rows
    every = np.array(list(permutations(range(length))), np.int8).T.copy()
    if not 1 <= count <= every.shape[1]:
        raise ValueError(f"count: want 1 to {every.shape[1]} permutations of {length}, got {count}")
    chosen, weight = [0], length * count + 1
    nearest, total = np.full(every.shape[1], length, np.int64), np.zeros(every.shape[1], np.int64)
    while len(chosen) < count:
        distance = (every != every[:, chosen[-1:]]).sum(axis=0, dtype=np.int8)
        np.minimum(nearest, distance, out=nearest)
        total += distance
        chosen.append(int(np.argmax(nearest * weight + total)))
    return tuple(tuple(order) for order in every[:, chosen].T.tolist())
