"""Sources whose images are in memory: the embedded digits, and torch data sets."""

from collections.abc import Iterable, Iterator
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image

from nearfar.core.errors import DataError
from nearfar.data.decoding import Broken, to_rgb, upright_rgb
from nearfar.data.listing import Listing, Raw
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


def from_dataset(dataset: Any) -> Listing:
    """A data set that yields images or (image, label, ...); gone through once, and kept in memory.

    Images: PIL (turned and converted as a file of it is), uint8 arrays (H, W) or (H, W, C), tensors
    (C, H, W) or (H, W), uint8 or float in [0, 1]. Labels: integers (−1 or None: no label) or names.
    Class names come from `.classes` where there is one.
    """
    images: list[Pixels] = []
    labels: list[int | str | None] = []
    for row, item in enumerate(_items(dataset)):
        is_row = isinstance(item, tuple | list) and len(item) > 0
        image = item[0] if is_row else item
        label = item[1] if is_row and len(item) > 1 else None
        images.append(rgb_pixels(image, f"Dataset, item {row}"))
        labels.append(_label(label, row))
    if not images:
        raise DataError(f"want a data set with images, got an empty {type(dataset).__name__}")
    names, numbers = _classes(labels, getattr(dataset, "classes", None))
    paths = tuple(f"dataset/{row:07d}" for row in range(len(images)))
    splits: Shaped[np.ndarray, " n"] = np.where(numbers >= 0, "train", "unlabeled").astype("<U9")
    uncut = Uncut(numbers, splits, paths)
    spread = [images[i * len(images) // 64] for i in range(64)] if len(images) > 64 else images
    return Listing(
        name="dataset",
        source="<Dataset>",
        paths=paths,
        labels=numbers,
        splits=uncut.cut(),
        class_names=names,
        given_splits=(),
        side=int(np.median([min(image.shape[:2]) for image in spread])),
        longest=int(np.median([max(image.shape[:2]) for image in spread])),
        default_policy=None,
        reader=MemoryReader(images),
        uncut=uncut,
    )


def _items(dataset: Any) -> Iterable[Any]:
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        return (dataset[row] for row in range(len(dataset)))
    if hasattr(dataset, "__iter__"):
        return (item for item in dataset)
    raise DataError(f"want a path or a torch Dataset with a length, got {type(dataset).__name__}")


def rgb_pixels(image: Any, where: str) -> Pixels:
    """uint8 (H, W, 3) of a PIL image, array or tensor; `where` heads the DataError."""
    if isinstance(image, Image.Image):
        picture = upright_rgb(image)
        if isinstance(picture, Broken):
            raise DataError(f"{where}: {picture.reason}")
        return np.asarray(picture)
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
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


def _label(label: Any, row: int) -> int | str | None:
    if isinstance(label, torch.Tensor | np.ndarray | np.generic) and np.ndim(label) == 0:
        label = label.item()
    if label is None or isinstance(label, str):
        return label
    if isinstance(label, int):
        return int(label) if label >= 0 else None
    raise DataError(
        f"Dataset, item {row}: want an integer, a name or None as label, got {type(label).__name__}"
    )


def _classes(
    labels: list[int | str | None], given: Iterable[Any] | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and the number of each label among them; −1 for None."""
    if given is not None:
        names = tuple(str(name) for name in given)
        place: dict[int | str, int] = {name: number for number, name in enumerate(names)}
        place |= {number: number for number in range(len(names))}
    else:
        present = {label for label in labels if label is not None}
        ordered = sorted(present, key=lambda label: (isinstance(label, str), label))
        names = tuple(str(label) for label in ordered)
        place = {label: number for number, label in enumerate(ordered)}
    for row, label in enumerate(labels):
        if label is not None and label not in place:
            want = f"a label of the {len(names)} in .classes"
            raise DataError(f"Dataset, item {row}: want {want}, got {label!r}")
    return names, np.array(
        [-1 if label is None else place[label] for label in labels], dtype=np.int64
    )
