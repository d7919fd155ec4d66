"""Fixed, stratified splits, cut from the paths alone: the same for a folder, its copy and its
archive.

Which files of a class leave the training set is decided by a hash of their paths (split seed 0,
never the run's), so neither the order of a file system nor a file that turns out unreadable moves
any other.
"""

import math
import os
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64, Shaped

from nearfar.core.randomness import fold, stream_seed

SPLIT_SEED = 0
VAL_AT_MOST = 5_000
KEPT = 2  # training images that every class keeps


def apportion(counts: Sequence[int], total: int) -> list[int]:
    """`total` cut into shares proportional to `counts`, by largest remainders; each class keeps at
    least two, by which a method with labels can learn it.

    The shares sum to `total`, or to less where the classes cannot give so much.
    """
    everything = sum(counts)
    if everything == 0:
        return [0] * len(counts)
    quotas = [total * count / everything for count in counts]
    shares = [
        min(math.floor(quota), max(count - KEPT, 0))
        for quota, count in zip(quotas, counts, strict=True)
    ]
    by_remainder = sorted(range(len(counts)), key=lambda c: shares[c] - quotas[c])
    missing = total - sum(shares)
    while missing > 0:
        givers = [c for c in by_remainder if shares[c] < counts[c] - KEPT][:missing]
        if not givers:
            break
        for c in givers:
            shares[c] += 1
        missing -= len(givers)
    return shares


def path_keys(paths: Sequence[str], stream: str) -> Int64[np.ndarray, " n"]:
    """A hash of each path in [0, 2**32): the order in which files leave the training set for
    `stream`.
    """
    sums = torch.tensor([zlib.crc32(os.fsencode(path)) for path in paths], dtype=torch.int64)
    keys: Int64[np.ndarray, " n"] = fold(sums, stream_seed(SPLIT_SEED, f"split {stream}")).numpy()
    return keys


def move_out(
    labels: Int64[np.ndarray, " n"],
    splits: Shaped[np.ndarray, " n"],
    paths: Sequence[str],
    to: str,
    total: int,
) -> Shaped[np.ndarray, " n"]:
    """A copy of `splits` in which `total` labeled training files, stratified by class, belong to
    `to`.
    """
    rows = np.flatnonzero((splits == "train") & (labels >= 0))
    classes, counts = np.unique(labels[rows], return_counts=True)
    keys = path_keys([paths[row] for row in rows.tolist()], to)
    moved = splits.copy()
    for label, share in zip(classes, apportion(counts.tolist(), total), strict=True):
        members = np.flatnonzero(labels[rows] == label)
        chosen = members[np.argsort(keys[members], kind="stable")[:share]]
        moved[rows[chosen]] = to
    return moved


def cut(
    labels: Int64[np.ndarray, " n"],
    splits: Shaped[np.ndarray, " n"],
    paths: Sequence[str],
    *,
    val_of_all: bool = False,
) -> Shaped[np.ndarray, " n"]:
    """Splits with a test and a validation part cut from train where none is given.

    Test: 20 % of the labeled training files. Validation: 20 % of what remains, at most 5,000 (with
    `val_of_all`: 20 % of what there was before, which makes 60/20/20). Parts are rounded up, and
    every class keeps at least two training files.
    """
    everything = int(((splits == "train") & (labels >= 0)).sum())
    if "test" not in splits:
        splits = move_out(labels, splits, paths, "test", math.ceil(everything / 5))
    if "val" not in splits:
        base = everything if val_of_all else int(((splits == "train") & (labels >= 0)).sum())
        splits = move_out(labels, splits, paths, "val", min(math.ceil(base / 5), VAL_AT_MOST))
    return splits
