"""NumPy's files as sources.

.npz: images and labels as arrays, `images` and `labels`, or of each split: `train_images` (as
MedMNIST has it), `x_train` (as Keras has it). .npy: test images with labels.npy beside it, as
CIFAR-10-C and CIFAR-100-C have each corruption, five severities one after the other;
`fog.npy@3` is one of them.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Shaped

from nearfar.core.errors import DataError
from nearfar.data.layout import SPLIT_NAMES
from nearfar.data.stacks import Stack

ENDING = ".npz"
STACK_ENDING = ".npy"
SEVERITIES = 5
Array = Shaped[np.ndarray, "..."]
_IMAGES = ("images", "image", "x", "data")
_LABELS = ("labels", "label", "y", "targets")


@final
class Arrays:
    """Pairs of an image and its label."""

    def __init__(self, images: Any, labels: Any | None) -> None:
        self._images, self._labels = images, labels

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        labels = [None] * len(self._images) if self._labels is None else self._labels
        return iter(zip(self._images, labels, strict=True))


def arrays_of(path: Path) -> Arrays | dict[str, Arrays]:
    """What `datasets.from_dataset` takes: one set, or several by split.

    DataError: no such arrays, or of different lengths, or objects instead of numbers.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                split, kind = _said_by(name)
                if kind:
                    found.setdefault(split, {})[kind] = archive[name]
            names = ", ".join(archive.files)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: want arrays of numbers in a whole .npz file ({error})") from error
    parts = {split: arrays for split, arrays in found.items() if "images" in arrays}
    if not parts or ("" in parts and len(parts) > 1):
        wanted = "images and labels, or train_images, train_labels, ..."
        raise DataError(f"{path}: want arrays called {wanted}, got {names}")
    sets = {}
    for split, arrays in parts.items():
        images, labels = arrays["images"], arrays.get("labels")
        if labels is not None and len(labels) != len(images):
            raise DataError(f"{path}: want a label for each of {len(images)}, got {len(labels)}")
        sets[split] = Arrays(images, labels)
    return sets.get("", sets)


def corrupted_images(path: Path, severity: str) -> Stack:
    """The test images in `path` (uint8, N × H × W × 3, mapped), of a severity of "1" to "5" or, by
    "", of all.

    DataError: other shapes, no labels for them, or another severity.
    """
    images, labels = _mapped(path), _mapped(path.with_name("labels.npy"))
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        got = f"{images.dtype} {images.shape}"
        raise DataError(f"{path}: want test images as uint8 (N, height, width, 3), got {got}")
    if labels.shape != images.shape[:1]:
        wanted = f"{len(images)} labels in labels.npy, one for each image of {path.name}"
        raise DataError(f"{path.parent}: want {wanted}, got shape {labels.shape}")
    if severity == "":
        return Stack(images, labels.astype(np.int64))
    count, rest = divmod(len(images), SEVERITIES)
    if severity not in map(str, range(1, SEVERITIES + 1)) or rest:
        wanted = f"a severity of 1 to {SEVERITIES} behind the @, of as many images each"
        raise DataError(f"{path}: want {wanted}, got {severity} of {len(images)} images")
    rows = slice((int(severity) - 1) * count, int(severity) * count)
    return Stack(images[rows], labels[rows].astype(np.int64))


def _mapped(path: Path) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: want a whole .npy file of numbers ({error})") from error
    return found


def _said_by(name: str) -> tuple[str, str]:
    """Split and kind ("images" or "labels") of an array; empty where its name does not say it."""
    words = name.lower().split("_")
    split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")
    if any(word in _LABELS for word in words):
        return split, "labels"
    return split, "images" if any(word in _IMAGES for word in words) else ""
