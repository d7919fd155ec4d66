"""Published data sets under their names, as torchvision downloads and reads them.

`cifar10` is kept in nearfar's cache, `cifar10@FOLDER` in a folder of yours, where it may lie
already in the layout that torchvision gives it. What is there is not downloaded again.
"""

import contextlib
import inspect
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.data.cache import cache_folder
from nearfar.data.folders import folder_files
from nearfar.data.layout import Layout, Place
from nearfar.data.listing import SPLITS
from nearfar.data.stacks import Stack

_Arguments = Mapping[str, Mapping[str, Any]]  # of torchvision's class, by split of nearfar's


@dataclass(frozen=True)
class Published:
    """A class of torchvision.datasets, and what it is called with for each split."""

    class_name: str
    splits: _Arguments


@dataclass(frozen=True)
class FileSet:
    """A data set of files below `root`."""

    root: Path
    layout: Layout


@dataclass(frozen=True, eq=False)
class StackSet:
    """A data set of arrays, by split."""

    stacks: Mapping[str, Stack]
    class_names: tuple[str, ...]


def _by_split(*same: str, **renamed: str) -> _Arguments:
    return {ours: {"split": ours} for ours in same} | {
        ours: {"split": theirs} for ours, theirs in renamed.items()
    }


_BY_FLAG: _Arguments = {"train": {"train": True}, "test": {"train": False}}
_STL10 = _by_split("train", "test", "unlabeled")
DOWNLOADED = {
    "cifar10": Published("CIFAR10", _BY_FLAG),
    "cifar100": Published("CIFAR100", _BY_FLAG),
    "cifar100-coarse": Published("CIFAR100", _BY_FLAG),
    "mnist": Published("MNIST", _BY_FLAG),
    "fashion-mnist": Published("FashionMNIST", _BY_FLAG),
    "kmnist": Published("KMNIST", _BY_FLAG),
    "svhn": Published("SVHN", _by_split("train", "test")),
    "stl10": Published("STL10", _STL10),
    **{
        f"stl10-fold{fold}": Published("STL10", {**_STL10, "train": {"folds": fold}})
        for fold in range(10)
    },
    "flowers102": Published("Flowers102", _by_split("train", "val", "test")),
    "food101": Published("Food101", _by_split("train", "test")),
    "dtd": Published("DTD", _by_split("train", "val", "test")),
    "aircraft": Published("FGVCAircraft", _by_split("train", "val", "test")),
    "imagenette": Published("Imagenette", _by_split("train", test="val")),
    "eurosat": Published("EuroSAT", {"": {}}),
}
IN_A_FOLDER = ("imagenet", "tiny-imagenet")
"""Read where they lie only, and their val is the test split, which is what results are told of: the
labels of their own test images are not published.
"""
NAMES = (*DOWNLOADED, *IN_A_FOLDER)


def named(data: str) -> tuple[str, Path | None] | None:
    """The name and folder of NAME[@FOLDER]; None: it is not the name of a published set."""
    name, at, folder = data.partition("@")
    if name not in NAMES:
        return None
    return name, Path(folder).expanduser() if at else None


def read_published(name: str, folder: Path | None) -> FileSet | StackSet:
    """The data set `name` in `folder` (None: nearfar's cache), downloaded where it is missing.

    DataError: no such files there and no way to have them, or damaged ones.
    """
    if name in IN_A_FOLDER:
        if folder is None:
            raise DataError(f"{name}: want the folder where it lies, {name}@FOLDER")
        return _imagenet(folder) if name == "imagenet" else _tiny_imagenet(folder)
    root = cache_folder() / "datasets" if folder is None else folder
    published = DOWNLOADED[name]
    parts = {split: _part(name, root, its) for split, its in published.splits.items()}
    first = next(iter(parts.values()))
    if hasattr(first, "loader"):
        return _file_set(root, parts, tuple(map(str, first.classes)))
    names = tuple(map(str, getattr(first, "classes", ())))
    labels: dict[str, Any] = {
        split: part.targets if hasattr(part, "targets") else part.labels
        for split, part in parts.items()
    }
    if name == "cifar100-coarse":
        names, labels = _coarse(first, parts)
    stacks = {
        split: Stack(part.data, np.asarray(labels[split], dtype=np.int64))
        for split, part in parts.items()
    }
    highest = max(int(stack.labels.max()) for stack in stacks.values())
    return StackSet(stacks, names or tuple(map(str, range(highest + 1))))


def _part(name: str, root: Path, arguments: Mapping[str, Any]) -> Any:
    """torchvision's data set; of files it yields their paths. What it prints goes to stderr."""
    from torchvision import datasets

    kind = getattr(datasets, DOWNLOADED[name].class_name)
    loader = {"loader": Path} if "loader" in inspect.signature(kind).parameters else {}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return kind(root, download=True, **arguments, **loader)
    except (OSError, RuntimeError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        reads = f"torchvision.datasets.{kind.__name__}"
        raise DataError(
            f"{name}: cannot be downloaded to {root}, and is not whole there ({error}); where you"
            f" have it as {reads} reads it, type {name}@FOLDER"
        ) from error


def _coarse(first: Any, parts: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """CIFAR-100's 20 superclasses, from the files that torchvision has just held to their
    checksums.
    """
    folder = Path(first.root) / first.base_folder

    def content(file: str) -> dict[str, Any]:
        with (folder / file).open("rb") as opened:
            found: dict[str, Any] = pickle.load(opened, encoding="latin1")
        return found

    names = tuple(content(first.meta["filename"])["coarse_label_names"])
    lists = {
        split: part.train_list if part.train else part.test_list for split, part in parts.items()
    }
    return names, {
        split: [label for file, _ in files for label in content(file)["coarse_labels"]]
        for split, files in lists.items()
    }


def _file_set(root: Path, parts: Mapping[str, Any], class_names: tuple[str, ...]) -> FileSet:
    places = []
    for split, part in parts.items():
        for row in range(len(part)):
            path, label = part[row]
            inner = path.relative_to(root)
            places.append(
                Place(inner.as_posix(), inner.parts, split or "train", class_names[label])
            )
    places.sort(key=lambda place: place.inner)
    given = tuple(split for split in SPLITS if split in parts)
    return FileSet(root, Layout(tuple(places), class_names, given, ()))


def _imagenet(folder: Path) -> FileSet:
    """The usual train/ and val/ of folders that are named by WordNet's numbers, or the archives as
    they are published, which torchvision unpacks first.
    """
    from torchvision import datasets

    if not (folder / "train").is_dir() and any(folder.glob("ILSVRC2012_*.tar*")):
        with contextlib.redirect_stdout(sys.stderr):
            for split in ("train", "val"):
                datasets.ImageNet(folder, split)
    places = [_in_imagenet(PurePosixPath(path)) for path in folder_files(folder)[0]]
    return _with_test("imagenet", folder, places)


def _in_imagenet(path: PurePosixPath) -> Place:
    top, class_name = (*path.parts, "", "")[:2]
    split = {"train": "train", "val": "test", "test": "predict"}.get(top, "")
    return Place(str(path), path.parts, split, class_name if split != "predict" else None)


def _tiny_imagenet(folder: Path) -> FileSet:
    """train/CLASS/images/, val/images/ with the classes in val/val_annotations.txt."""
    notes = folder / "val" / "val_annotations.txt"
    if not notes.is_file():
        raise DataError(f"{folder}: want val/val_annotations.txt in it, as Tiny-ImageNet has it")
    lines = notes.read_text(encoding="utf-8").splitlines()
    classes = {file: name for file, name, *_ in (line.split("\t") for line in lines)}
    found = (_in_imagenet(PurePosixPath(path)) for path in folder_files(folder)[0])
    places = [
        replace(place, class_name=classes.get(place.inner[-1])) if place.split == "test" else place
        for place in found
    ]
    return _with_test("tiny-imagenet", folder, places)


def _with_test(name: str, folder: Path, places: Sequence[Place]) -> FileSet:
    """Those that lie in a split; all its classes are known by train."""
    placed = sorted((place for place in places if place.split), key=lambda place: place.inner)
    splits = {place.split for place in placed}
    if not {"train", "test"} <= splits:
        raise DataError(f"{name}: want images in {folder / 'train'} and {folder / 'val'}")
    names = {place.class_name for place in placed if place.split == "train"}
    return FileSet(
        folder,
        Layout(
            tuple(placed),
            tuple(sorted(name for name in names if name is not None)),
            tuple(split for split in SPLITS if split in splits),
            (),
        ),
    )
