"""`nearfar embed`: the representation of every image of some data, in a file."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.api.model import load
from nearfar.api.request import Data
from nearfar.core.errors import UserError
from nearfar.core.progress import Progress
from nearfar.core.writing import write_bytes
from nearfar.data.samples import ImageSamples
from nearfar.data.sources import open_source
from nearfar.data.store import load as load_data
from nearfar.evaluate.features import extract

FORMATS = (".npz", ".csv", ".parquet")


def embed(
    run: Path, data: Data, out: Path, *, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Writes the representation of every image of `data` with label, split and path; returns
    `out`, `rows`, `width` and the images that could not be read, `unreadable`. UserError: the
    format, or a file that is there without `force`.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"--out: want a file ending in {', '.join(FORMATS)}, got {out}")
    refuse_existing(out, force=force)
    progress = Progress(quiet=quiet)
    model = load(run)
    listing = open_source(data)
    stored = load_data(listing, model.view.center, progress=progress)
    with progress.bar(len(stored), "embedding") as bar:
        samples = ImageSamples(stored, model.view, torch.device("cpu"))
        x = extract(model.encoder, samples, torch.arange(len(stored)), bar)
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
        write_bytes(out, content)
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror})") from error
    unreadable = [{"path": file.path, "reason": file.reason} for file in stored.skipped]
    return {"out": str(out), "rows": len(x), "width": x.shape[1], "unreadable": unreadable}


def refuse_existing(out: Path, *, force: bool) -> None:
    """UserError where a file of the user's would be overwritten."""
    if out.exists() and not force:
        raise UserError(f"--out: {out} exists; replace it by --force, or name another file")


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
