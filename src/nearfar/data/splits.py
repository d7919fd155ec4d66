"""Fixed, stratified splits, cut from the paths: the same for a folder, its copy and its archive.

Which files of a class leave the training set is decided by a hash of their paths (split seed 0,
never the run's), so neither the order of a file system nor a file that turns out unreadable moves
any other. Images that belong together (groups.py) leave it together, by the hash of their first
path, or stay.
"""

import math
import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

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


def path_keys(paths: Sequence[str], stream: str, seed: int = SPLIT_SEED) -> Int64[np.ndarray, " n"]:
    """A hash of each path in [0, 2**32): the order in which files leave the training set for
    `stream`.
    """
    sums = torch.tensor([zlib.crc32(os.fsencode(path)) for path in paths], dtype=torch.int64)
    keys: Int64[np.ndarray, " n"] = fold(sums, stream_seed(seed, f"split {stream}")).numpy()
    return keys


@dataclass(frozen=True, eq=False)
class Uncut:
    """A source before it is cut."""

    labels: Int64[np.ndarray, " n"]  # -1: none
    splits: Shaped[np.ndarray, " n"]  # as given
    paths: Sequence[str]  # what is hashed
    val_of_all: bool = False

    def cut(self, groups: Int64[np.ndarray, " n"] | None = None) -> Shaped[np.ndarray, " n"]:
        """Splits with a test and a validation part cut from train where none is given; images of
        one group lie in one part.

        Test: 20 % of the labeled training files. Validation: 20 % of what remains, at most 5,000
        (with `val_of_all`: 20 % of what there was before, which makes 60/20/20). Parts are rounded
        up, and every class keeps at least two training files.
        """
        groups = np.arange(len(self.labels)) if groups is None else groups
        splits, everything = self.splits, self._in_train(self.splits)
        if "test" not in splits:
            splits = self._moved_out(splits, groups, "test", math.ceil(everything / 5))
        if "val" not in splits:
            base = everything if self.val_of_all else self._in_train(splits)
            total = min(math.ceil(base / 5), VAL_AT_MOST)
            splits = self._moved_out(splits, groups, "val", total)
        return splits

    def _in_train(self, splits: Shaped[np.ndarray, " n"]) -> int:
        return int(((splits == "train") & (self.labels >= 0)).sum())

    def _moved_out(
        self,
        splits: Shaped[np.ndarray, " n"],
        groups: Int64[np.ndarray, " n"],
        to: str,
        total: int,
    ) -> Shaped[np.ndarray, " n"]:
        """A copy of `splits` in which about `total` labeled training files, stratified by class,
        belong to `to`. A group of which a part lies elsewhere stays.
        """
        free = (splits == "train") & (self.labels >= 0)
        tied = set(groups[~free & (splits != "predict")].tolist())
        rows = np.flatnonzero(free)
        members: dict[int, list[int]] = defaultdict(list)
        for row, group in zip(rows.tolist(), groups[rows].tolist(), strict=True):
            if group not in tied:
                members[group].append(row)
        together = list(members.values())
        keys = path_keys([min(self.paths[row] for row in its) for its in together], to)
        in_order = [together[number] for number in np.argsort(keys, kind="stable")]
        moved = splits.copy()
        for its in chosen_groups(in_order, self.labels, self.labels[free], total):
            moved[its] = to
        return moved


def chosen_groups(
    groups: Sequence[list[int]],
    labels: Int64[np.ndarray, " n"],
    in_train: Int64[np.ndarray, " train"],
    total: int,
) -> list[list[int]]:
    """Of groups of rows, in their order, those that bring each class nearer to its share of
    `total`; where none does, the smallest that can be spared.
    """
    classes, counts = np.unique(in_train, return_counts=True)
    shares = apportion(counts.tolist(), total)
    missing = dict(zip(classes.tolist(), shares, strict=True))
    spare = dict(zip(classes.tolist(), (counts - KEPT).tolist(), strict=True))
    chosen = []
    label_of = labels.tolist()
    for rows in groups:
        if len(rows) == 1:  # as below, without counting
            c = label_of[rows[0]]
            if missing[c] > 0 and spare[c] > 0:
                chosen.append(rows)
                missing[c] -= 1
                spare[c] -= 1
            continue
        parts = Counter(label_of[row] for row in rows)
        nearer = sum(abs(missing[c]) - abs(missing[c] - n) for c, n in parts.items())
        if nearer > 0 and all(n <= spare[c] for c, n in parts.items()):
            chosen.append(rows)
            for c, n in parts.items():
                missing[c] -= n
                spare[c] -= n
    if chosen or total == 0:
        return chosen
    spared = (
        rows
        for rows in sorted(groups, key=len)
        if all(n <= spare[c] for c, n in Counter(labels[rows].tolist()).items())
    )
    return [rows for rows in [next(spared, None)] if rows is not None]
