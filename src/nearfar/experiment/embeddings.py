"""embeddings.npz: representations of test images, with their map, neighbors and thumbnails."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nearfar.data.images import ImageData
from nearfar.data.samples import ImageSamples
from nearfar.evaluate.features import Features, extract, spread
from nearfar.evaluate.maps import nearest_rows, tsne
from nearfar.experiment.setup import Setup
from nearfar.nn.encoders import Encoder
from nearfar.run_folder.folder import RunFolder

THUMBNAIL_PX = 32


def write_embeddings(
    setup: Setup,
    data: ImageData,
    features: Features,
    probabilities: NDArray[np.float64] | None,
    folder: RunFolder,
) -> None:
    """At most `evaluate.map_rows` rows. `probabilities` (n, C) are those of the classifier that
    serves for predictions, where there is one.
    """
    chosen = spread(torch.arange(len(features)), setup.config.evaluate.map_rows).numpy()
    x, rows = features.x[chosen], features.rows[chosen]
    predicted = np.full(len(chosen), -1, dtype=np.int64)
    confidence = np.full(len(chosen), np.nan)
    if probabilities is not None:
        of_rows = probabilities[chosen]
        predicted, confidence = of_rows.argmax(axis=1), of_rows.max(axis=1)
    arrays: dict[str, Any] = {
        "embeddings": x,
        "labels": features.y[chosen],
        "predictions": predicted,
        "confidence": confidence.astype(np.float32),
        "split": np.asarray(data.splits)[rows].astype(str),
        "paths": np.asarray([data.paths[row] for row in rows], dtype=str),
        "xy": tsne(x, seed=setup.seed),
        "neighbors": nearest_rows(x),
        "thumbnails": _thumbnails(data, rows),
    }
    folder.write_embeddings(arrays)


def write_unlabeled(
    setup: Setup, samples: ImageSamples, encoder: Encoder, folder: RunFolder
) -> None:
    """Without labels to probe with there is still a map: of test, else of what was trained on."""
    names = [name for name in ("test", "unlabeled", "train") if len(samples.split(name))]
    rows = spread(samples.split(names[0]), setup.config.evaluate.map_rows)
    features = Features(extract(encoder, samples, rows), samples.labels[rows].numpy(), rows.numpy())
    write_embeddings(setup, samples.data, features, None, folder)


def _thumbnails(data: ImageData, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(n, 32, 32, 3)."""
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BICUBIC))
            for image in data.rows(torch.from_numpy(rows)).images.numpy()
        ]
    )
