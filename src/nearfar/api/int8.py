"""An exported encoder in 8 bits, and what that costs: nearest neighbors before and after."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.api.embedding_files import told
from nearfar.api.model import Model
from nearfar.api.run_images import run_images
from nearfar.core.errors import DataError
from nearfar.core.progress import Bar, Progress
from nearfar.core.writing import whole
from nearfar.data.samples import ImageSamples
from nearfar.evaluate.features import Features, spread
from nearfar.evaluate.knn import knn_accuracy
from nearfar.nn.exporting import OnnxEncoder, write_int8
from nearfar.run_folder.folder import RunFolder

RANGES, ROWS_A_CALL = 256, 32  # training images that ranges are taken from, and at a time
MOST_TRAINING_IMAGES, MOST_TEST_IMAGES = 5000, 2000  # of the neighbors


def eight_bit_path(exported: Path) -> Path:
    return exported.with_stem(f"{exported.stem}_int8")


def measured_on(folder: RunFolder, model: Model, progress: Progress) -> ImageSamples:
    """What a file of 8 bits is made and measured by. UserError: the run's data are not there, or
    have no labels in train or test.
    """
    config = folder.read_config()
    stored = run_images(config, model, progress, otherwise="--int8 wants images with labels")
    samples = ImageSamples(stored, model.view, torch.device("cpu"))
    if not all(len(_labeled(samples, name)) for name in ("train", "test")):
        raise DataError("--int8: wants labeled images in train and test, to measure what it costs")
    return samples


def quantized(
    exported: Path, samples: ImageSamples, notes: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """`out`, the kNN accuracies on test of the exported file and of the one in 8 bits, `knn` and
    `knn_int8`, and `n`, of how many images.
    """
    target = eight_bit_path(exported)
    train, test = (_labeled(samples, name) for name in ("train", "test"))
    ranges = spread(train, RANGES)
    batches = [samples.evaluation_input(part) for part in torch.split(ranges, ROWS_A_CALL)]
    with told(target), whole(target) as partial:
        write_int8(exported, partial, batches, notes)
    few = {"train": spread(train, MOST_TRAINING_IMAGES), "test": spread(test, MOST_TEST_IMAGES)}
    with progress.bar(2 * sum(map(len, few.values())), "kNN") as bar:
        before, after = (_knn(OnnxEncoder(path), samples, few, bar) for path in (exported, target))
    return {"out": str(target), "knn": before, "knn_int8": after, "n": len(few["test"])}


def _labeled(samples: ImageSamples, split: str) -> Tensor:
    """Its rows that have a label."""
    rows = samples.split(split)
    return rows[samples.labels[rows] >= 0]


def _knn(encoder: OnnxEncoder, samples: ImageSamples, rows: dict[str, Tensor], bar: Bar) -> float:
    splits = {}
    for name, of in rows.items():
        parts = []
        for part in torch.split(of, ROWS_A_CALL):
            parts.append(encoder.arrays(samples.evaluation_input(part))[0])
            bar.advance(len(part))
        splits[name] = Features(np.concatenate(parts), samples.labels[of].numpy(), of.numpy())
    return knn_accuracy(splits["train"], splits["test"], len(samples.class_names))
