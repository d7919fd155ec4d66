"""`nearfar predict`: a run's classifier applied to images."""

import csv
import io
import itertools
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.api.embed import refuse_existing, say_if_emulated
from nearfar.api.model import Model, Predictions, load
from nearfar.api.sorting import refuse_target, sort_into
from nearfar.core.errors import DataError, UserError
from nearfar.core.progress import Progress
from nearfar.core.writing import write_bytes
from nearfar.data.folders import folder_files
from nearfar.data.layout import printable
from nearfar.nn.encoders import Precision
from nearfar.run_folder import names
from nearfar.run_folder.choosing import is_run
from nearfar.run_folder.folder import RunFolder

TOP = 5
FORMATS = (".csv", ".json")


def predict(
    run: Path,
    images: Sequence[Path],
    *,
    out: Path | None = None,
    into: Path | None = None,
    force: bool = False,
    precision: Precision = "float32",
    quiet: bool = False,
) -> dict[str, Any]:
    """Class, probability and the five likeliest of each image; folders are searched for images.

    Images that cannot be read are listed as `unreadable`; `classifier` names what classified, with
    its `title` and its accuracy on `test` where that was measured. `out`, a .csv or .json file,
    gets all of it; `into` a copy of each picture in the folder of its class, `copied` of them.
    DataError: no image can be read. UserError: something would be replaced without `force`.
    """
    _refuse(images, out, into, force=force)
    model = load(run)
    paths = [found for image in images for found in _files_of(image)]
    progress = Progress(quiet=quiet)
    say_if_emulated(precision, progress)
    predictions, read, unreadable = _predict_all(model, paths, progress, precision)
    if not predictions:
        lines = "\n  ".join(f"{bad['path']}: {bad['reason']}" for bad in unreadable[:10])
        raise DataError(
            f"want at least one image that can be read, got none of {len(paths)}\n  {lines}"
        )
    found = {"predictions": predictions, "unreadable": unreadable, **_classifier(RunFolder(run))}
    if out is not None:
        _write(out, found)
    if into is not None:
        classes = (row["class"] for row in predictions)
        found["copied"], vanished = sort_into(into, zip(read, classes, strict=True))
        unreadable += [
            {"path": printable(str(path)), "reason": "vanished before it was copied"}
            for path in vanished
        ]
    return found


def _refuse(images: Sequence[Path], out: Path | None, into: Path | None, *, force: bool) -> None:
    """UserError for what can be known before any work."""
    for image in images:
        if is_run(image):
            raise UserError(f"{image} is a run: the run comes first, then images; and one run only")
    if out is not None:
        if out.suffix.lower() not in FORMATS:
            raise UserError(f"--out: want a file ending in {' or '.join(FORMATS)}, got {out}")
        refuse_existing(out, force=force)
    if into is not None:
        refuse_target(into, images, force=force)


def _predict_all(
    model: Model, paths: Sequence[Path], progress: Progress, precision: Precision
) -> tuple[list[dict[str, Any]], list[Path], list[dict[str, str]]]:
    """Predictions, the file of each, and the files that cannot be read."""
    predictions: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    read: list[Path] = []
    with (
        progress.bar(len(paths), "predicting") as bar,
        closing(model.predictions(paths, precision=precision)) as parts,
    ):
        for part, found in parts:
            some = [paths[number] for number in part.numbers]
            predictions += _rows(some, found)
            read += some
            unreadable += [
                {"path": printable(str(paths[number])), "reason": reason}
                for number, reason in part.broken
            ]
            bar.advance(len(part))
    return predictions, read, unreadable


def _classifier(folder: RunFolder) -> dict[str, Any]:
    """What results.json says of it."""
    by = folder.read_results().predicted_by if folder.has(names.RESULTS) else None
    if by is None:
        return {"classifier": None, "title": None, "test": None}
    return {"classifier": by.name, "title": by.title, "test": by.test}


def _write(out: Path, found: dict[str, Any]) -> None:
    """A row an image, its class first and then the others of the likeliest; or all, as --json."""
    if out.suffix.lower() == ".json":
        content = json.dumps(found, ensure_ascii=False, indent=1)
    else:
        most = max(len(row["top"]) for row in found["predictions"])
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        more = [f"{name}_{k}" for k in range(2, most + 1) for name in ("class", "probability")]
        writer.writerow(["path", "class", "probability", *more])
        for row in found["predictions"]:
            likeliest = [(name, f"{share:.6g}") for name, share in row["top"]]
            writer.writerow([row["path"], *itertools.chain.from_iterable(likeliest)])
        content = text.getvalue()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, content.encode())
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror})") from error


def _rows(paths: Sequence[Path], found: Predictions) -> list[dict[str, Any]]:
    rows = []
    for path, shares in zip(paths, found.probabilities, strict=True):
        order = np.argsort(-shares, kind="stable")[:TOP]
        top = [[found.class_names[i], float(shares[i])] for i in order]
        rows.append(
            {"path": printable(str(path)), "class": top[0][0], "probability": top[0][1], "top": top}
        )
    return rows


def _files_of(path: Path) -> list[Path]:
    """A file itself; of a folder all that training looks at: ending or content say what is one."""
    if path.is_dir():
        pictures, _, _ = folder_files(path)
        found = [path / name for name in pictures]
        if not found:
            raise DataError(f"{path}: want images, got none in this folder")
        return found
    if not path.exists():
        raise DataError(f"{path}: want an image or a folder of images, got no such file")
    return [path]
