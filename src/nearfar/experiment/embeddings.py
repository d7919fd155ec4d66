"""embeddings.npz: representations of test images, with their map, neighbors and thumbnails."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nearfar.config.models import RunConfig
from nearfar.data.store import ImageData
from nearfar.evaluate.features import EvaluationView, Features, extract
from nearfar.evaluate.maps import nearest_rows, tsne
from nearfar.experiment import folder as files
from nearfar.nn.encoders import Encoder

THUMBNAIL_PX = 32


def write_embeddings(
    config: RunConfig,
    data: ImageData,
    features: Features,
    probabilities: NDArray[np.float64] | None,
    out: Path,
) -> None:
    """At most `evaluate.map_rows` rows. `probabilities` (n, C) are those of the classifier that
    serves for predictions, where there is one.
    """
    chosen = spread(torch.arange(len(features)), config.evaluate.map_rows).numpy()
    x, rows = features.x[chosen], features.rows[chosen]
    predicted = np.full(len(chosen), -1, dtype=np.int64)
    confidence = np.full(len(chosen), np.nan)
    if probabilities is not None:
        predicted, confidence = (
            probabilities[chosen].argmax(axis=1),
            probabilities[chosen].max(axis=1),
        )
    arrays: dict[str, Any] = {
        "embeddings": x,
        "labels": features.y[chosen],
        "predictions": predicted,
        "confidence": confidence.astype(np.float32),
        "split": np.asarray(data.splits)[rows].astype(str),
        "paths": np.asarray([data.paths[row] for row in rows], dtype=str),
        "xy": tsne(x, seed=config.train.seed),
        "neighbors": nearest_rows(x),
        "thumbnails": _thumbnails(data, rows),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_bytes(out / files.EMBEDDINGS, buffer.getvalue())


def write_unlabeled(
    config: RunConfig, data: ImageData, view: EvaluationView, encoder: Encoder, out: Path
) -> None:
    """Without labels to probe with there is still a map: of test, else of what was trained on."""
    names = [name for name in ("test", "unlabeled", "train") if len(data.split(name))]
    rows = spread(data.split(names[0]), config.evaluate.map_rows)
    x = extract(encoder, data, rows, view)
    labels = np.asarray(data.labels)[rows.numpy()]
    write_embeddings(config, data, Features(x, labels, rows.numpy()), None, out)


def spread(rows: Tensor, most: int) -> Tensor:
    """At most so many of the rows, evenly spread."""
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), most)).round().long()]


def _thumbnails(data: ImageData, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(n, 32, 32, 3)."""
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BICUBIC))
            for image in data.rows(torch.from_numpy(rows)).images.numpy()
        ]
    )
