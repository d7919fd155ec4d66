"""`nearfar predict`: a run's classifier applied to images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.api.model import Model, load
from nearfar.core.errors import DataError, UserError
from nearfar.core.progress import Progress
from nearfar.data.folders import folder_files
from nearfar.data.layout import printable
from nearfar.run_folder import names
from nearfar.run_folder.choosing import is_run
from nearfar.run_folder.folder import RunFolder

TOP = 5


def predict(run: Path, images: Sequence[Path], *, quiet: bool = False) -> dict[str, Any]:
    """Class, probability and the five likeliest of each image; folders are searched for images.

    Images that cannot be read are listed as `unreadable`; `classifier` names what classified, with
    its `title` and its accuracy on `test` where that was measured. DataError: no image can be read.
    """
    progress = Progress(quiet=quiet)
    for image in images:
        if is_run(image):
            raise UserError(f"{image} is a run: the run comes first, then images; and one run only")
    model = load(run)
    paths = [found for image in images for found in _files_of(image)]
    predictions: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    with progress.bar(len(paths), "predicting") as bar:
        for start in range(0, len(paths), 64):
            part = paths[start : start + 64]
            try:
                predictions += _predicted(model, part)
            except DataError:
                _predict_each(model, part, predictions, unreadable)
            bar.advance(len(part))
    if not predictions:
        lines = "\n  ".join(f"{bad['path']}: {bad['reason']}" for bad in unreadable[:10])
        raise DataError(
            f"want at least one image that can be read, got none of {len(paths)}\n  {lines}"
        )
    return {"predictions": predictions, "unreadable": unreadable, **_classifier(RunFolder(run))}


def _classifier(folder: RunFolder) -> dict[str, Any]:
    """What results.json says of it."""
    by = folder.read_results().predicted_by if folder.has(names.RESULTS) else None
    if by is None:
        return {"classifier": None, "title": None, "test": None}
    return {"classifier": by.name, "title": by.title, "test": by.test}


def _predict_each(
    model: Model,
    paths: Sequence[Path],
    predictions: list[dict[str, Any]],
    unreadable: list[dict[str, str]],
) -> None:
    """One by one, where some of them cannot be read."""
    for path in paths:
        try:
            predictions += _predicted(model, [path])
        except DataError as error:
            shown = printable(str(path))
            unreadable.append({"path": shown, "reason": str(error).removeprefix(f"{shown}: ")})


def _predicted(model: Model, paths: Sequence[Path]) -> list[dict[str, Any]]:
    found = model.predict(list(paths))
    rows = []
    for path, shares in zip(paths, found.probabilities, strict=True):
        order = np.argsort(-shares, kind="stable")[:TOP]
        top = [[found.class_names[i], float(shares[i])] for i in order]
        rows.append(
            {"path": printable(str(path)), "class": top[0][0], "probability": top[0][1], "top": top}
        )
    return rows


def _files_of(path: Path) -> list[Path]:
    """A file itself; of a folder all that training looks at: content decides what is an image."""
    if path.is_dir():
        found = [path / name for name in folder_files(path)]
        if not found:
            raise DataError(f"{path}: want images, got no file in this folder")
        return found
    if not path.exists():
        raise DataError(f"{path}: want an image or a folder of images, got no such file")
    return [path]
