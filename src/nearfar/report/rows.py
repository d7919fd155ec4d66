"""The test images of one run: where they lie on the map, what was predicted, and how they look."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8


@dataclass(frozen=True)
class TestRows:
    """embeddings.npz without the embeddings themselves. −1 in `labels`, `predictions` or
    `neighbors` means none.
    """

    labels: Int[np.ndarray, " row"]
    predictions: Int[np.ndarray, " row"]
    confidence: Float[np.ndarray, " row"]  # probability of the predicted class
    split: Shaped[np.ndarray, " row"]
    paths: Shaped[np.ndarray, " row"]
    xy: Float[np.ndarray, "row 2"]  # t-SNE
    neighbors: Int[np.ndarray, "row k"]  # rows of this same table, nearest first
    thumbnails: UInt8[np.ndarray, "row side side 3"]

    __test__ = False  # no test class, whatever its name

    def __len__(self) -> int:
        return len(self.labels)

    def worst_mistakes(self, count: int) -> Int[np.ndarray, " mistake"]:
        """Rows predicted wrongly, the most confident first, at most `count`."""
        wrong = np.flatnonzero(
            (self.labels >= 0) & (self.predictions >= 0) & (self.labels != self.predictions)
        )
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]


def check_rows(rows: TestRows, n_classes: int) -> None:
    """ValueError where the arrays do not fit each other."""
    n = len(rows)
    shapes = {
        "labels": (n,),
        "predictions": (n,),
        "confidence": (n,),
        "split": (n,),
        "paths": (n,),
        "xy": (n, 2),
        "neighbors": (n, rows.neighbors.shape[-1] if rows.neighbors.ndim == 2 else 10),
        "thumbnails": (n, *rows.thumbnails.shape[1:2] * 2, 3),
    }
    for name, shape in shapes.items():
        if (came := getattr(rows, name).shape) != shape:
            raise ValueError(f"{name}: want shape {shape}, got {came}")
    if rows.thumbnails.dtype != np.uint8:
        raise ValueError(f"thumbnails: want uint8, got {rows.thumbnails.dtype}")
    for name in ("labels", "predictions"):
        _want_range(name, getattr(rows, name), -1, n_classes)
    _want_range("neighbors", rows.neighbors, -1, n)


def _want_range(name: str, values: Int[np.ndarray, "..."], low: int, end: int) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name}: want integers, got {values.dtype}")
    if values.size and (values.min() < low or values.max() >= end):
        raise ValueError(f"{name}: want {low} to {end - 1}, got {values.min()} to {values.max()}")
