"""`nearfar embed` and `nearfar predict`: a run applied to other images."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.core.errors import DataError, UserError
from nearfar.core.progress import Progress
from nearfar.data.sources import open_source
from nearfar.data.store import load as load_data
from nearfar.evaluate.features import extract
from nearfar.experiment import folder as files
from nearfar.experiment.model import Model, open_run
from nearfar.experiment.request import Data

TOP = 5
FORMATS = (".npz", ".csv", ".parquet")
IMAGE_ENDINGS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
    ".ppm",
    ".avif",
    ".jp2",
)


def embed_data(run: Path, data: Data, out: Path, progress: Progress) -> dict[str, Any]:
    """Writes the representation of every image of `data` with label, split and path. UserError: the
    format.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"--out: want a file ending in {', '.join(FORMATS)}, got {out}")
    model = open_run(run, progress)
    listing = open_source(data)
    stored = load_data(listing, view_size=model.view.size, progress=progress)
    with progress.bar(len(stored), "embedding") as bar:
        x = extract(model.encoder, stored, torch.arange(len(stored)), model.view, bar)
    columns = {
        "labels": stored.labels.numpy(),
        "split": np.asarray(stored.splits, dtype=str),
        "paths": np.asarray(stored.paths, dtype=str),
    }
    content = (
        _npz(x, columns, stored.class_names) if out.suffix == ".npz" else _table(x, columns, out)
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out, content)
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror})") from error
    return {"out": str(out), "rows": len(x), "width": x.shape[1]}


def _npz(x: NDArray[np.float32], columns: dict[str, NDArray[Any]], names: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "embeddings": x,
        **columns,
        "class_names": np.asarray(names, dtype=str),
    }
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _table(x: NDArray[np.float32], columns: dict[str, NDArray[Any]], out: Path) -> bytes:
    """A row an image: path, label, split, then e0 ... e(E-1)."""
    if out.suffix == ".csv":
        import csv

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", "label", "split", *(f"e{i}" for i in range(x.shape[1]))])
        for path, label, split, row in zip(
            columns["paths"], columns["labels"], columns["split"], x, strict=True
        ):
            writer.writerow([path, int(label), split, *(f"{value:.7g}" for value in row.tolist())])
        return text.getvalue().encode()
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "--out: a .parquet file wants pyarrow: pip install 'nearfar[parquet]', or choose .npz"
            " or .csv"
        ) from error
    named = {"path": columns["paths"], "label": columns["labels"], "split": columns["split"]}
    table = pyarrow.table({**named, **{f"e{i}": x[:, i] for i in range(x.shape[1])}})
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def predict_files(run: Path, images: Sequence[Path], progress: Progress) -> dict[str, Any]:
    """Class, probability and the five likeliest of each image; folders are searched for images.

    Images that cannot be read are listed as `unreadable`. DataError: all of them.
    """
    model = open_run(run, progress)
    paths = [found for image in images for found in _images_of(image)]
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
    return {"predictions": predictions, "unreadable": unreadable}


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
            unreadable.append({"path": str(path), "reason": str(error).removeprefix(f"{path}: ")})


def _predicted(model: Model, paths: Sequence[Path]) -> list[dict[str, Any]]:
    found = model.predict(list(paths))
    rows = []
    for path, shares in zip(paths, found.probabilities, strict=True):
        order = np.argsort(-shares, kind="stable")[:TOP]
        top = [[found.class_names[i], float(shares[i])] for i in order]
        rows.append({"path": str(path), "class": top[0][0], "probability": top[0][1], "top": top})
    return rows


def _images_of(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path}: want an image or a folder of images, got no such file")
    if path.is_file():
        return [path]
    found = sorted(
        p
        for p in path.rglob("*")
        if p.suffix.lower() in IMAGE_ENDINGS and not p.name.startswith(".")
    )
    if not found:
        raise DataError(
            f"{path}: want images ({', '.join(IMAGE_ENDINGS)}), got none in this folder"
        )
    return found
