"""Representations of stored images by a frozen encoder, extracted once."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.progress import Bar
from nearfar.core.types import StoredImages
from nearfar.data.store import ImageData
from nearfar.nn.encoders import Encoder
from nearfar.views.making import evaluation_view

ROWS_A_CALL = 256
SPLITS = ("train", "val", "test")

Unit = tuple[float, float, float]


@dataclass(frozen=True)
class EvaluationView:
    """How an image is shown to a frozen encoder: centered square, resized, normalized."""

    size: int
    crop: float
    mean: Unit
    std: Unit

    def make(self, stored: StoredImages) -> Float[Tensor, "batch 3 size size"]:
        return evaluation_view(stored, size=self.size, crop=self.crop, mean=self.mean, std=self.std)


@dataclass(frozen=True)
class Features:
    """Labeled rows of one split: x (n, E) float32, y (n,) int64."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    rows: NDArray[np.int64]  # of the data set

    def __len__(self) -> int:
        return len(self.y)


def extract(
    encoder: Encoder,
    data: ImageData,
    rows: Int64[Tensor, " image"],
    view: EvaluationView,
    bar: Bar | None = None,
) -> NDArray[np.float32]:
    """(n, E) float32: evaluation mode (BatchNorm too), no gradient; the encoder's mode is put
    back.
    """
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    out = np.empty((len(rows), encoder.width), dtype=np.float32)
    try:
        with torch.inference_mode():
            for start in range(0, len(rows), ROWS_A_CALL):
                part = rows[start : start + ROWS_A_CALL]
                images = view.make(data.rows(part).to(device))
                out[start : start + len(part)] = encoder(images).float().cpu().numpy()
                if bar is not None:
                    bar.advance(len(part))
    finally:
        encoder.train(was_training)
    return out


def extract_splits(
    encoder: Encoder, data: ImageData, view: EvaluationView, bar: Bar | None = None
) -> dict[str, Features]:
    """The labeled images of train, val and test; a split without any is left out."""
    found = {}
    labels = np.asarray(data.labels)
    for name in SPLITS:
        rows = data.split(name)
        rows = rows[torch.as_tensor(labels)[rows] >= 0]
        if len(rows):
            x = extract(encoder, data, rows, view, bar)
            found[name] = Features(x, labels[rows.numpy()], rows.numpy())
    return found
