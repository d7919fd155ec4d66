"""Clouds of features and a few stored images for the tests of evaluate."""

from typing import Any

import numpy as np
import torch

from nearfar.data.center import CenterSquare
from nearfar.data.store import KeptImages
from nearfar.evaluate.base import Context
from nearfar.evaluate.features import Features


def clouds(
    n: int,
    *,
    classes: int = 3,
    width: int = 5,
    spread: float = 1.0,
    seed: int = 0,
    present: tuple[int, ...] = (),
) -> Features:
    """`n` rows around a center for each class (the same for every seed), of scale and offset unlike
    0 and 1.
    """
    centers = np.random.default_rng(99).normal(size=(classes, width))
    random = np.random.default_rng(seed)
    y = random.choice(np.array(present or range(classes)), n).astype(np.int64)
    x = centers[y] + spread * random.normal(size=(n, width))
    x = x * np.linspace(0.1, 20, width) + np.linspace(-30, 5, width)
    return Features(x.astype(np.float32), y, np.arange(n))


def context(**change: Any) -> Context:
    """Three splits of three classes; `change` replaces fields."""
    splits = {
        name: clouds(n, spread=1.5, seed=seed)
        for name, n, seed in (("train", 150, 0), ("val", 60, 1), ("test", 80, 2))
    }
    given = {"splits": splits, "class_names": ("a", "b", "c"), "selection": "last", "seed": 0}
    return Context(**{**given, **change})


def stored_images(n: int = 30, side: int = 16) -> KeptImages:
    """Random images: even rows train, the rest val and test in turn; the last row of each split has
    no label.
    """
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    splits = np.array(
        ["train" if i % 2 == 0 else ("val" if i % 4 == 1 else "test") for i in range(n)]
    )
    labels = torch.arange(n) % 3
    for name in ("train", "val", "test"):
        labels[int(np.flatnonzero(splits == name)[-1])] = -1
    return KeptImages(
        name="random",
        images=images,
        half=images[:, ::2, ::2],
        evaluated=images[:, ::2, ::2],
        center=CenterSquare(side // 2),
        sizes_px=torch.full((n, 2), side),
        labels=labels,
        splits=splits,
        paths=tuple(f"{i}.png" for i in range(n)),
        class_names=("a", "b", "c"),
        default_policy=None,
        skipped=(),
    )
