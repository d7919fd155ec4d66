"""Images that stand in one array for each split, as CIFAR's, STL-10's and NumPy's files have them.

They are made into pixels row by row when they are read, so that a mapped array stays on disk.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Int64, Shaped

from nearfar.data.datasets import rgb_pixels
from nearfar.data.listing import SPLITS, Listing, Raw
from nearfar.data.splits import Uncut

_KEYED = 512  # images whose pixels a set is known by, spread evenly over each stack


@dataclass(frozen=True, eq=False)
class Stack:
    """The images of a split and their labels."""

    images: Shaped[Any, "n ..."]  # uint8 (n, H, W), (n, H, W, C) or (n, C, H, W), C being 1 or 3
    labels: Int64[np.ndarray, " n"]  # -1: none

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, row: int) -> Shaped[np.ndarray, "H W ..."]:
        image = np.asarray(self.images[row])
        has_channels_first = image.ndim == 3 and image.shape[2] not in (1, 3)
        return image.transpose(1, 2, 0) if has_channels_first else image


@final
class StackReader:
    """The images of all stacks, one after the other."""

    def __init__(self, stacks: Mapping[str, Stack]) -> None:
        self._stacks = stacks

    def key(self) -> str:
        """Hash of shapes, labels and some of the images."""
        digest = hashlib.sha256()
        for split, stack in self._stacks.items():
            digest.update(f"{split} {len(stack)}\n".encode())
            digest.update(stack.labels.tobytes())
            for row in np.linspace(0, len(stack) - 1, min(len(stack), _KEYED)):
                digest.update(stack.pixels(int(row)).tobytes())
        return digest.hexdigest()

    def read(self) -> Iterator[tuple[int, Raw]]:
        row = 0
        for split, stack in self._stacks.items():
            for number in range(len(stack)):
                yield row, rgb_pixels(stack.pixels(number), f"{split}, image {number}")
                row += 1

    def at(self, row: int) -> Raw:
        for split, stack in self._stacks.items():
            if row < len(stack):
                return rgb_pixels(stack.pixels(row), f"{split}, image {row}")
            row -= len(stack)
        raise IndexError(row)

    def shards(self) -> None:
        return None

    def expect(self, shard: int) -> None:
        """Nothing has to be fetched."""


def listing_of_stacks(
    name: str, source: str, stacks: Mapping[str, Stack], class_names: tuple[str, ...]
) -> Listing:
    """Of stacks by the split that they are given as, all images of one size."""
    paths = [f"{split}/{row:07d}" for split, stack in stacks.items() for row in range(len(stack))]
    labels = np.concatenate([stack.labels for stack in stacks.values()])
    splits = np.repeat(list(stacks), [len(stack) for stack in stacks.values()]).astype("<U9")
    height, width = next(iter(stacks.values())).pixels(0).shape[:2]
    uncut = Uncut(labels, splits, paths)
    return Listing(
        name=name,
        source=source,
        paths=tuple(paths),
        labels=labels,
        splits=uncut.cut(),
        class_names=class_names,
        given_splits=tuple(split for split in SPLITS if split in stacks),
        side=min(height, width),
        longest=max(height, width),
        default_policy=None,
        reader=StackReader(stacks),
        uncut=uncut,
    )
