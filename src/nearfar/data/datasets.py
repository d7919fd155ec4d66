"""Sources whose images are in memory: the embedded digits, and torch data sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image

from nearfar.core.errors import DataError
from nearfar.data.decoding import PEEKS, upright_rgb
from nearfar.data.items import (
    Label,
    agreed_classes,
    image_and_label,
    is_indexed,
    items_of,
    numbered_labels,
)
from nearfar.data.layout import SPLIT_NAMES
from nearfar.data.listing import SPLITS, Broken, Listing, Raw
from nearfar.data.rgb import OWN_WHITE, White, to_rgb
from nearfar.data.splits import Uncut

Pixels = UInt8[np.ndarray, "height width 3"]
_KEPT_UP_TO = 256 * 256 * 3  # bytes of a picture; a larger one is asked for again


@dataclass(frozen=True)
class _Again:
    """A picture that its data set makes whenever it is read."""

    dataset: Any
    row: int
    where: str

    def pixels(self) -> Pixels:
        image, _ = image_and_label(self.dataset[self.row], self.where)
        return rgb_pixels(image, self.where)


@final
class MemoryReader:
    """Images that are there already, and large ones that a data set makes again."""

    def __init__(self, images: Sequence[Pixels | _Again]) -> None:
        self._images = images

    def key(self) -> None:
        return None

    def read(self) -> Iterator[tuple[int, Raw]]:
        yield from ((row, self.at(row)) for row in range(len(self._images)))

    def at(self, row: int) -> Raw:
        image = self._images[row]
        return image.pixels() if isinstance(image, _Again) else image

    def shards(self) -> None:
        return None

    def expect(self, shard: int) -> None:
        """Nothing has to be fetched."""


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
    or several under the names of their splits ({"train": ..., "test": ...}). Gone through once;
    pictures of up to 256 × 256 px are kept in memory, larger ones are asked for again when the
    store takes what it needs of them.

    Images: PIL (turned and converted as a file of it is), uint8 arrays (H, W) or (H, W, C), tensors
    (C, H, W) or (H, W), uint8 or float in [0, 1]. Labels: integers (−1 or None: no label) or names.
    Class names come from `.classes`, or the label column's names, where there are any.
    """
    parts = _by_split(data)
    images: list[Pixels | _Again] = []
    sizes: list[tuple[int, int]] = []  # height and width, px
    labels: list[Label] = []
    paths: list[str] = []
    given: list[str] = []  # the split of each, "" where none is given
    for split, part in parts.items():
        for row, item in enumerate(items_of(part)):
            where = f"{split or 'Dataset'}, item {row}"
            image, label = image_and_label(item, where)
            pixels = rgb_pixels(image, where)
            again = pixels.nbytes > _KEPT_UP_TO and is_indexed(part)
            images.append(_Again(part, row, where) if again else pixels)
            sizes.append((pixels.shape[0], pixels.shape[1]))
            labels.append(label)
            paths.append(f"{split or 'dataset'}/{row:07d}")
            given.append(split)
    if not images:
        raise DataError(f"want a data set with images, got an empty {type(data).__name__}")
    names, numbers = numbered_labels(labels, agreed_classes(list(parts.values())))
    unnamed: Shaped[np.ndarray, " n"] = np.where(numbers >= 0, "train", "unlabeled").astype("<U9")
    splits = np.where(np.array(given, dtype="<U9") == "", unnamed, given).astype("<U9")
    uncut = Uncut(numbers, splits, paths)
    count = min(PEEKS, len(sizes))
    spread = [sizes[i * len(sizes) // count] for i in range(count)]
    return Listing(
        name="dataset",
        source="<Dataset>",
        paths=tuple(paths),
        labels=numbers,
        splits=uncut.cut(),
        class_names=names,
        given_splits=tuple(split for split in SPLITS if split in given),
        side=int(np.median([min(size) for size in spread])),
        longest=int(np.median([max(size) for size in spread])),
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
