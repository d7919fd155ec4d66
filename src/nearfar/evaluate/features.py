"""Representations of samples by a frozen encoder, extracted once."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.progress import Bar
from nearfar.core.threads import threads_shared_by
from nearfar.data.reading import in_order
from nearfar.data.samples import Samples
from nearfar.nn.encoders import Encoder
from nearfar.nn.frozen import FrozenEncoder, rows_a_call

ROWS_A_CALL = 256  # at most
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
    (BatchNorm too), no gradient; the encoder's mode is put back. On a CPU each of torch's threads
    encodes chunks of its own.
    """
    was_training = encoder.training
    encoder.eval()
    frozen = FrozenEncoder(encoder, count=len(index), at_once=torch.get_num_threads())
    size = min(ROWS_A_CALL, rows_a_call(encoder))
    parts = torch.split(index, size) if len(index) else ()
    inputs = (samples.evaluation_input(part) for part in parts)
    results = in_order(frozen, inputs, min(frozen.at_once, len(parts)), ahead=2)
    out = np.empty((len(index), encoder.width), dtype=np.float32)
    start = 0
    try:
        with threads_shared_by(frozen.at_once), closing(results):
            for x in results:
                out[start : start + len(x)] = x
                start += len(x)
                if bar is not None:
                    bar.advance(len(x))
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
