"""`nearfar predict`: a run's classifier applied to images."""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nearfar.api.embed import refuse_existing, say_if_emulated
from nearfar.api.model import Model, Predictions, load
from nearfar.api.sorting import refuse_target, sort_into
from nearfar.api.sureness import Sureness, refuse_share, sureness
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
JUDGED = ("decided", "unlike")
_IN_CSV = {True: "true", False: "false", None: ""}


@dataclass(frozen=True)
class Wanted:
    """What is to be made of predictions. `out`: a .csv or .json file of them; `into`: a folder that
    gets a copy of each picture in a folder of its class; `force`: where something is there already.
    `sure`: the accuracy below which the classifier is not to decide. `sort_by`: the surest first,
    or last. `precision`: of the encoder.
    """

    out: Path | None = None
    into: Path | None = None
    force: bool = False
    sure: float | None = None
    sort_by: Literal["sure", "unsure"] | None = None
    precision: Precision = "float32"


AS_THEY_ARE = Wanted()


def predict(
    run: Path, images: Sequence[Path], wanted: Wanted = AS_THEY_ARE, *, quiet: bool = False
) -> dict[str, Any]:
    """Class, probability and the five likeliest of each image; folders are searched for images.
    `decided`: whether the classifier is sure enough (always, unless `sure` is wanted); `unlike`:
    whether it is unlike the training images.

    Images that cannot be read are listed as `unreadable`; `classifier` names what classified, with
    its `title` and its accuracy on `test` where that was measured; `sure` says what decides, and
    `copied` how many pictures were. DataError: no image can be read. UserError: something would be
    replaced without `force`.
    """
    _refuse(images, wanted)
    model = load(run)
    decider = None if wanted.sure is None else sureness(run, model.reference, wanted.sure)
    paths = [found for image in images for found in _files_of(image)]
    progress = Progress(quiet=quiet)
    say_if_emulated(wanted.precision, progress)
    predictions, read, unreadable = _predict_all(model, paths, progress, wanted.precision)
    if not predictions:
        lines = "\n  ".join(f"{bad['path']}: {bad['reason']}" for bad in unreadable[:10])
        raise DataError(
            f"want at least one image that can be read, got none of {len(paths)}\n  {lines}"
        )
    rows = _in_order(zip(predictions, read, strict=True), decider, wanted)
    found = {
        "predictions": [row for row, _ in rows],
        "unreadable": unreadable,
        **_classifier(RunFolder(run)),
        "sure": None if decider is None else decider.as_json(),
    }
    if wanted.out is not None:
        _write(wanted.out, found)
    if wanted.into is not None:
        classes = ((path, row["class"] if row["decided"] else None) for row, path in rows)
        found["copied"], vanished = sort_into(wanted.into, classes)
        unreadable += [
            {"path": printable(str(path)), "reason": "vanished before it was copied"}
            for path in vanished
        ]
    return found


def _refuse(images: Sequence[Path], wanted: Wanted) -> None:
    """UserError for what can be known before any work."""
    for image in images:
        if is_run(image):
            raise UserError(f"{image} is a run: the run comes first, then images; and one run only")
    if wanted.sure is not None:
        refuse_share(wanted.sure)
    if (out := wanted.out) is not None:
        if out.suffix.lower() not in FORMATS:
            raise UserError(f"--out: want a file ending in {' or '.join(FORMATS)}, got {out}")
        refuse_existing(out, force=wanted.force)
    if wanted.into is not None:
        refuse_target(wanted.into, images, force=wanted.force)


def _in_order(
    rows: Iterable[tuple[dict[str, Any], Path]], decider: Sureness | None, wanted: Wanted
) -> list[tuple[dict[str, Any], Path]]:
    """Each prediction with `decided`, and its file; in the order that is wanted."""
    found = [
        ({**row, "decided": decider is None or decider.decides(row)}, path) for row, path in rows
    ]
    if wanted.sort_by is None:
        return found
    surest_first = wanted.sort_by == "sure"
    return sorted(found, key=lambda one: one[0]["probability"], reverse=surest_first)


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
        writer.writerow(["path", "class", "probability", *more, *JUDGED])
        for row in found["predictions"]:
            likeliest = [(name, f"{share:.6g}") for name, share in row["top"]]
            judged = [_IN_CSV[row[name]] for name in JUDGED]
            writer.writerow([row["path"], *itertools.chain.from_iterable(likeliest), *judged])
        content = text.getvalue()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, content.encode())
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror})") from error


def _rows(paths: Sequence[Path], found: Predictions) -> list[dict[str, Any]]:
    rows = []
    unlike = [None] * len(paths) if found.unlike is None else found.unlike.tolist()
    for path, shares, far in zip(paths, found.probabilities, unlike, strict=True):
        order = np.argsort(-shares, kind="stable")[:TOP]
        top = [[found.class_names[i], float(shares[i])] for i in order]
        likeliest = {"class": top[0][0], "probability": top[0][1], "top": top}
        rows.append({"path": printable(str(path)), **likeliest, "unlike": far})
    return rows


def _files_of(path: Path) -> list[Path]:
    """A file itself; of a folder all that training looks at: ending or content say what is one."""
    if path.is_dir():
        pictures = folder_files(path).pictures
        found = [path / name for name in pictures]
        if not found:
            raise DataError(f"{path}: want images, got none in this folder")
        return found
    if not path.exists():
        raise DataError(f"{path}: want an image or a folder of images, got no such file")
    return [path]
