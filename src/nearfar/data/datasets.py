"""Sources whose images are in memory: the embedded digits, and torch data sets."""

from collections.abc import Iterator, Mapping
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image

from nearfar.core.errors import DataError
from nearfar.data.decoding import upright_rgb
from nearfar.data.items import (
    Label,
    agreed_classes,
    image_and_label,
    items_of,
    numbered_labels,
)
from nearfar.data.layout import SPLIT_NAMES
from nearfar.data.listing import SPLITS, Broken, Listing, Raw
from nearfar.data.rgb import OWN_WHITE, White, to_rgb
from nearfar.data.splits import Uncut

Pixels = UInt8[np.ndarray, "height width 3"]


@final
class MemoryReader:
    """Images that are there already."""

    def __init__(self, images: list[Pixels]) -> None:
        self._images = images

    def key(self) -> None:
        return None

    def read(self) -> Iterator[tuple[int, Raw]]:
        yield from enumerate(self._images)


def digits() -> Listing:
    """scikit-learn's 1,797 handwritten digits of 8×8 px, values 0–16 spread over 0–255;
    60/20/20.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    gray = np.rint(data.images * (255 / 16)).astype(np.uint8)
    images = [np.repeat(image[:, :, None], 3, axis=2) for image in gray]
    labels = data.target.astype(np.int64)
    paths = tuple(f"digits/{row:04d}" for row in range(len(images)))
    uncut = Uncut(labels, np.full(len(images), "train", dtype="<U9"), paths, val_of_all=True)
    return Listing(
        name="digits",
        source="digits",
        paths=paths,
        labels=labels,
        splits=uncut.cut(),
        class_names=tuple(str(name) for name in range(10)),
        given_splits=(),
        side=8,
        longest=8,
        default_policy="digits",
        reader=MemoryReader(images),
        uncut=uncut,
    )


def from_dataset(data: Any) -> Listing:
    """A data set that yields images, (image, label, ...) or rows with an image and a label column;
    or several under the names of their splits ({"train": ..., "test": ...}). Gone through once, and
    kept in memory.

    Images: PIL (turned and converted as a file of it is), uint8 arrays (H, W) or (H, W, C), tensors
    (C, H, W) or (H, W), uint8 or float in [0, 1]. Labels: integers (−1 or None: no label) or names.
    Class names come from `.classes`, or the label column's names, where there are any.
    """
    parts = _by_split(data)
    images: list[Pixels] = []
    labels: list[Label] = []
    paths: list[str] = []
    given: list[str] = []  # the split of each, "" where none is given
    for split, part in parts.items():
        for row, item in enumerate(items_of(part)):
            where = f"{split or 'Dataset'}, item {row}"
            image, label = image_and_label(item, where)
            images.append(rgb_pixels(image, where))
            labels.append(label)
            paths.append(f"{split or 'dataset'}/{row:07d}")
            given.append(split)
    if not images:
        raise DataError(f"want a data set with images, got an empty {type(data).__name__}")
    names, numbers = numbered_labels(labels, agreed_classes(list(parts.values())))
    unnamed: Shaped[np.ndarray, " n"] = np.where(numbers >= 0, "train", "unlabeled").astype("<U9")
    splits = np.where(np.array(given, dtype="<U9") == "", unnamed, given).astype("<U9")
    uncut = Uncut(numbers, splits, paths)
    spread = [images[i * len(images) // 64] for i in range(64)] if len(images) > 64 else images
    return Listing(
        name="dataset",
        source="<Dataset>",
        paths=tuple(paths),
        labels=numbers,
        splits=uncut.cut(),
        class_names=names,
        given_splits=tuple(split for split in SPLITS if split in given),
        side=int(np.median([min(image.shape[:2]) for image in spread])),
        longest=int(np.median([max(image.shape[:2]) for image in spread])),
        default_policy=None,
        reader=MemoryReader(images),
        uncut=uncut,
    )


def _by_split(data: Any) -> dict[str, Any]:
    """The data sets by the split that they are given as; a single one under no name."""
    if not isinstance(data, Mapping):
        return {"": data}
    found = {SPLIT_NAMES.get(str(name).lower(), ""): dataset for name, dataset in data.items()}
    if "" in found or len(found) < len(data):
        got = ", ".join(map(str, data)) or "none"
        raise DataError(f"want a data set for each of {', '.join(SPLITS[:4])}, got {got}")
    return found


def rgb_pixels(image: Any, where: str, white: White = OWN_WHITE) -> Pixels:
    """uint8 (H, W, 3) of a PIL image, array or tensor; `where` heads the DataError."""
    if isinstance(image, Image.Image):
        picture = upright_rgb(image, white)
        if isinstance(picture, Broken):
            raise DataError(f"{where}: {picture.reason}")
        return np.asarray(picture)
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image  # NumPy has no bfloat16
        array = (image.permute(1, 2, 0) if image.ndim == 3 else image).numpy()
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise _wrong_image(where, f"{type(image).__name__}")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise _wrong_image(where, f"shape {tuple(image.shape)}")
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise _wrong_image(
                where, f"numbers in [{array.min():g}, {array.max():g}] (normalized already?)"
            )
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise _wrong_image(where, f"dtype {array.dtype}")
    array = np.ascontiguousarray(array)
    if array.shape[2] == 4:
        return np.asarray(to_rgb(Image.fromarray(array)))
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _wrong_image(where: str, got: str) -> DataError:
    return DataError(
        f"{where}: want an image as PIL, uint8 array (H, W, 3) or tensor (3, H, W), uint8 or "
        f"float in [0, 1], got {got}; give it before any normalization"
    )
