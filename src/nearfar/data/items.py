"""What a data set in memory holds: its items, their labels, and the names of the classes."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nearfar.core.errors import DataError

_IMAGE_KEYS = ("image", "img", "pixel_values")
_LABEL_KEYS = ("label", "labels", "target", "fine_label")

Label = int | str | None


def is_indexed(dataset: Any) -> bool:
    """Whether its items can be asked for by number, more than once."""
    return hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")


def items_of(dataset: Any) -> Iterable[Any]:
    """The items in their order. DataError: this is no data set."""
    if is_indexed(dataset):
        return (dataset[row] for row in range(len(dataset)))
    if hasattr(dataset, "__iter__"):
        return (item for item in dataset)
    raise DataError(f"want a path or a torch Dataset with a length, got {type(dataset).__name__}")


def image_and_label(item: Any, where: str) -> tuple[Any, Label]:
    """Of an item that is an image, (image, label, ...) or a row of named columns, as Hugging Face's
    data sets have it; `where` heads the DataError.
    """
    if isinstance(item, Mapping):
        key = next((key for key in _IMAGE_KEYS if key in item), None)
        if key is None:
            wanted, got = " or ".join(_IMAGE_KEYS), ", ".join(map(str, item))
            raise DataError(f"{where}: want a column {wanted}, got {got}; rename it")
        label = next((item[key] for key in _LABEL_KEYS if key in item), None)
        return _opened(item[key], where), _label(label, where)
    if isinstance(item, tuple | list) and len(item) > 0:
        return item[0], _label(item[1] if len(item) > 1 else None, where)
    return item, None


def named_classes(dataset: Any) -> tuple[str, ...] | None:
    """The names that a data set gives its classes, through torch's Subset and ConcatDataset too
    (where all parts agree); None: it gives none.
    """
    if (given := getattr(dataset, "classes", None)) is not None:
        return tuple(str(name) for name in given)
    features = getattr(dataset, "features", None)  # of Hugging Face's
    if isinstance(features, Mapping):
        columns = [features[key] for key in _LABEL_KEYS if key in features]
        names = [found for column in columns if (found := getattr(column, "names", None))]
        return tuple(names[0]) if names else None
    if isinstance(dataset, torch.utils.data.ConcatDataset):
        return agreed_classes(list(dataset.datasets))
    return named_classes(dataset.dataset) if hasattr(dataset, "dataset") else None


def agreed_classes(datasets: Sequence[Any]) -> tuple[str, ...] | None:
    """The names that all of them give; None where one gives none. DataError: they differ."""
    found = [named_classes(dataset) for dataset in datasets]
    if None in found:
        return None
    if len(set(found)) > 1:
        raise DataError(f"want data sets of the same classes, got {found[0]} and others beside it")
    return found[0]


def numbered_labels(
    labels: Sequence[Label], given: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and the number of each label among them; −1 for None."""
    if given is not None:
        names = tuple(given)
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


def _opened(image: Any, where: str) -> Any:
    """The image of a cell, which may be a file's content, as Hugging Face keeps it undecoded."""
    content = image.get("bytes") if isinstance(image, Mapping) else image
    if not isinstance(content, bytes):
        return image
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: want an image's bytes, got those of no known format") from error


def _label(label: Any, where: str) -> Label:
    if isinstance(label, torch.Tensor | np.ndarray | np.generic) and math.prod(label.shape) == 1:
        label = label.reshape(()).item()
    if label is None or isinstance(label, str):
        return label
    if isinstance(label, int):
        return int(label) if label >= 0 else None
    raise DataError(
        f"{where}: want an integer, a name or None as label, got {type(label).__name__}"
    )
