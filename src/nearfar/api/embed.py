"""`nearfar embed`: the representation of every image of some data, in a file."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.api.atlas import Described, write_atlas
from nearfar.api.embedding_files import Columns, Spool, refuse_format, spooled, write
from nearfar.api.model import Model, Predictions, load
from nearfar.api.request import Data
from nearfar.core.errors import DataError, UserError
from nearfar.core.hardware import has_native_bf16
from nearfar.core.progress import Bar, Progress
from nearfar.data.listing import Listing, Unreadable
from nearfar.data.passing import Passing
from nearfar.data.reading import skip_or_refuse
from nearfar.data.sources import open_source
from nearfar.evaluate.stream import Represented, represent
from nearfar.nn.encoders import Precision


def embed(
    run: Path,
    data: Data,
    out: Path,
    *,
    force: bool = False,
    precision: Precision = "float32",
    quiet: bool = False,
) -> dict[str, Any]:
    """Writes the representation of every image of `data` with label, split and path; returns
    `out`, `rows`, `width` and the images that could not be read, `unreadable`. UserError: the
    format, or a file that is there without `force`.

    Images pass through and are kept nowhere; what is made of them waits on disk.
    """
    refuse_format(out)
    refuse_existing(out, force=force)
    progress = Progress(quiet=quiet)
    say_if_emulated(precision, progress)
    model = load(run)
    listing = open_source(data, progress)
    passing = Passing(listing, model.view.center)
    with spooled(out, model.encoder.width) as spool:
        parts = represent(
            model.encoder,
            model.view,
            listing.reader.read(),
            count=len(listing),
            longest_px=listing.longest,
            precision=precision,
            look=passing.look,
        )
        with progress.bar(len(listing), "embedding") as bar, closing(parts):
            broken = _fill(spool, parts, bar)
        unreadable = [Unreadable(listing.paths[row], why) for row, why in broken.items()]
        skipped = skip_or_refuse(listing, unreadable, strict=False)
        rows = np.array([row for row in range(len(listing)) if row not in broken], dtype=np.int64)
        if not len(rows):
            raise DataError(f"{listing.source}: {unreadable[0].path}: {unreadable[0].reason}")
        columns = _columns(listing, passing, rows)
        if out.suffix != ".parquet":
            write(out, spool.parts(rows), spool.width, columns, listing.class_names)
        else:
            x = np.concatenate(list(spool.parts(rows)))
            predictions = _predictions(model, listing, x, rows, progress)
            write_atlas(out, Described(x, columns, listing.class_names, predictions), progress)
    left_out = [{"path": file.path, "reason": file.reason} for file in skipped]
    return {"out": str(out), "rows": len(rows), "width": spool.width, "unreadable": left_out}


def _columns(listing: Listing, passing: Passing, rows: NDArray[np.int64]) -> Columns:
    return {
        "labels": listing.labels[rows],
        "split": passing.splits()[rows].astype(str),
        "paths": np.asarray(listing.paths, dtype=str)[rows],
    }


def _predictions(
    model: Model,
    listing: Listing,
    x: NDArray[np.float32],
    rows: NDArray[np.int64],
    progress: Progress,
) -> Predictions | None:
    """By the run's classifier; None without one. One with an encoder of its own sees the images
    anew.
    """
    if not model.has_classifier:
        return None
    encoder, classifier = model.classifying
    if encoder is not model.encoder:
        x = np.zeros((len(listing), encoder.width), np.float32)
        parts = represent(
            encoder,
            model.view,
            listing.reader.read(),
            count=len(listing),
            longest_px=listing.longest,
        )
        with progress.bar(len(listing), "predicting") as bar, closing(parts):
            for part in parts:
                x[list(part.numbers)] = part.x
                bar.advance(len(part))
        x = x[rows]
    shares = classifier.probabilities(x)
    return Predictions(shares.argmax(axis=1), shares, model.class_names)


def refuse_existing(out: Path, *, force: bool) -> None:
    """UserError where a file of the user's would be overwritten."""
    if out.exists() and not force:
        raise UserError(f"--out: {out} exists; replace it by --force, or name another file")


def say_if_emulated(precision: Precision, progress: Progress) -> None:
    """Where bf16 makes it slower, not faster."""
    if precision == "bf16" and not has_native_bf16(torch.device("cpu")):
        progress.say("bf16 is emulated on this processor, and much slower than float32")


def _fill(spool: Spool, parts: Iterable[Represented], bar: Bar) -> dict[int, str]:
    """The representation of every image that can be read; of the others why not, by row."""
    broken: dict[int, str] = {}
    for part in parts:
        spool.put(part.numbers, part.x)
        broken.update(part.broken)
        bar.advance(len(part))
    return broken
