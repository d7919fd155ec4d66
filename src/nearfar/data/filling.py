"""Decoded rows on their way into the store: in files that may lie in memory or on disk."""

import io
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray

from nearfar.core.progress import Progress
from nearfar.data.center import CenterSquare
from nearfar.data.decoding import decode, half_side, pillow_is_quiet
from nearfar.data.listing import Broken, Listing, Unreadable
from nearfar.data.reading import for_each_image


class Files(NamedTuple):
    """A file for each of the store's arrays."""

    images: io.BufferedIOBase
    half: io.BufferedIOBase
    evaluated: io.BufferedIOBase


def decode_into(
    files: Files, listing: Listing, side: int, center: CenterSquare, progress: Progress
) -> tuple[Int64[np.ndarray, "listed 2"], list[Unreadable]]:
    """Rows written in the listing's order, without gaps; sizes (0, 0) stand for files left out."""
    sizes = np.zeros((len(listing), 2), dtype=np.int64)
    unreadable: list[Unreadable] = []
    work = partial(decode, side=side, center=center)
    with pillow_is_quiet(), closing(for_each_image(listing, work, progress)) as results:
        for row, result in results:
            if isinstance(result, Broken):
                unreadable.append(Unreadable(listing.paths[row], result.reason))
                continue
            sizes[row] = result.width, result.height
            _put(files.images, row, result.square)
            _put(files.half, row, result.half)
            if not center.reads_picture(result.width, result.height, side):
                _put(files.evaluated, row, result.evaluated)
    read = sizes[:, 0] > 0
    kept = read & ~center.reads_square(sizes, side)
    for file, rows, px in zip(
        files, (read, read, kept), (side, half_side(side), center.size), strict=True
    ):
        _close_gaps(file, np.flatnonzero(rows), px)
    return sizes, unreadable


def _put(file: io.BufferedIOBase, row: int, pixels: UInt8[np.ndarray, "side side 3"]) -> None:
    file.seek(row * pixels.nbytes)
    file.write(pixels.tobytes())


def _close_gaps(file: io.BufferedIOBase, kept: NDArray[np.intp], side: int) -> None:
    """Moves the kept rows of squares together and cuts the file after them."""
    row_bytes = side * side * 3
    for target, row in enumerate(kept.tolist()):
        if target != row:
            file.seek(row * row_bytes)
            content = file.read(row_bytes)
            file.seek(target * row_bytes)
            file.write(content)
    file.truncate(len(kept) * row_bytes)
