"""Representations of samples by a frozen encoder, extracted once."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.progress import Bar
from nearfar.data.samples import Samples
from nearfar.nn.encoders import Encoder

ROWS_A_CALL = 256
SPLITS = ("train", "val", "test")


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
    samples: Samples,
    index: Int64[Tensor, " row"],
    bar: Bar | None = None,
) -> NDArray[np.float32]:
    """(n, E) float32 of these rows, by an encoder on the samples' device: evaluation mode
    (BatchNorm too), no gradient; the encoder's mode is put back.
    """
    was_training = encoder.training
    encoder.eval()
    out = np.empty((len(index), encoder.width), dtype=np.float32)
    try:
        with torch.inference_mode():
            for start in range(0, len(index), ROWS_A_CALL):
                part = index[start : start + ROWS_A_CALL]
                represented = encoder(samples.evaluation_input(part))
                out[start : start + len(part)] = represented.float().cpu().numpy()
                if bar is not None:
                    bar.advance(len(part))
    finally:
        encoder.train(was_training)
    return out


def extract_splits(
    encoder: Encoder, samples: Samples, bar: Bar | None = None
) -> dict[str, Features]:
    """The labeled samples of train, val and test; a split without any is left out."""
    found = {}
    for name in SPLITS:
        rows = samples.split(name)
        rows = rows[samples.labels[rows] >= 0]
        if len(rows):
            x = extract(encoder, samples, rows, bar)
            found[name] = Features(x, samples.labels[rows].numpy(), rows.numpy())
    return found


def spread(rows: Int64[Tensor, " row"], most: int) -> Int64[Tensor, " few"]:
    """At most so many of the rows, evenly spread."""
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), most)).round().long()]
