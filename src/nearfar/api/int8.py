"""An exported encoder in 8 bits, and what that costs: nearest neighbors before and after."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.api.embed import refuse_existing
from nearfar.api.embedding_files import told
from nearfar.api.model import Model
from nearfar.core.errors import DataError, UserError
from nearfar.core.progress import Bar, Progress
from nearfar.core.writing import whole
from nearfar.data.samples import ImageSamples
from nearfar.data.sources import open_source
from nearfar.data.store import load as load_data
from nearfar.evaluate.features import Features, spread
from nearfar.evaluate.knn import knn_accuracy
from nearfar.nn.exporting import OnnxEncoder, write_int8
from nearfar.run_folder.folder import RunFolder

RANGES, ROWS_A_CALL = 256, 32  # training images that ranges are taken from, and at a time
MOST_TRAINING_IMAGES, MOST_TEST_IMAGES = 5000, 2000  # of the neighbors


def quantized(
    folder: RunFolder,
    model: Model,
    exported: Path,
    notes: dict[str, Any],
    *,
    force: bool,
    progress: Progress,
) -> dict[str, Any]:
    """`out`, the kNN accuracies on test of the exported file and of the one in 8 bits, `knn` and
    `knn_int8`, and `n`, of how many images.

    UserError: the run's data are not there, or have no labels.
    """
    target = exported.with_stem(f"{exported.stem}_int8")
    refuse_existing(target, force=force)
    samples = _samples(folder, model, progress)
    rows = {name: samples.split(name) for name in ("train", "test")}
    labeled = {name: of[samples.labels[of] >= 0] for name, of in rows.items()}
    if not all(len(of) for of in labeled.values()):
        raise DataError("--int8: wants labeled images in train and test, to measure what it costs")
    ranges = spread(labeled["train"], RANGES)
    batches = [samples.evaluation_input(part) for part in torch.split(ranges, ROWS_A_CALL)]
    with told(target), whole(target) as partial:
        write_int8(exported, partial, batches, notes)
    few = {
        "train": spread(labeled["train"], MOST_TRAINING_IMAGES),
        "test": spread(labeled["test"], MOST_TEST_IMAGES),
    }
    with progress.bar(2 * sum(map(len, few.values())), "kNN") as bar:
        before, after = (_knn(OnnxEncoder(path), samples, few, bar) for path in (exported, target))
    return {"out": str(target), "knn": before, "knn_int8": after, "n": len(few["test"])}


def _samples(folder: RunFolder, model: Model, progress: Progress) -> ImageSamples:
    config = folder.read_config()["data"]
    if config["source"] == "<Dataset>":
        raise UserError("--int8: wants the run's images, and it was trained on a Dataset of Python")
    listing = open_source(config["source"])
    stored = load_data(
        listing, model.view.center, group_by=config.get("group_by"), progress=progress
    )
    return ImageSamples(stored, model.view, torch.device("cpu"))


def _knn(encoder: OnnxEncoder, samples: ImageSamples, rows: dict[str, Tensor], bar: Bar) -> float:
    splits = {}
    for name, of in rows.items():
        parts = []
        for part in torch.split(of, ROWS_A_CALL):
            parts.append(encoder.arrays(samples.evaluation_input(part))[0])
            bar.advance(len(part))
        splits[name] = Features(np.concatenate(parts), samples.labels[of].numpy(), of.numpy())
    return knn_accuracy(splits["train"], splits["test"], len(samples.class_names))
