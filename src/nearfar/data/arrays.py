"""NumPy's .npz as a source: images and labels as arrays, `images` and `labels`, or of each split:
`train_images` (as MedMNIST has it), `x_train` (as Keras has it).
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np

from nearfar.core.errors import DataError
from nearfar.data.layout import SPLIT_NAMES

ENDING = ".npz"
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


def _said_by(name: str) -> tuple[str, str]:
    """Split and kind ("images" or "labels") of an array; empty where its name does not say it."""
    words = name.lower().split("_")
    split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")
    if any(word in _LABELS for word in words):
        return split, "labels"
    return split, "images" if any(word in _IMAGES for word in words) else ""
