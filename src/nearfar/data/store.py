"""The decoded data set: uint8 squares with their true size beside, in memory or mapped from a cache
file.

n rows (readable images only), S side, half = S // 2.
"""

import errno
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Int64, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.core.types import DataFacts, StoredImages
from nearfar.data import cache
from nearfar.data.decoding import Broken, Decoded, decode, half_side, pillow_is_quiet
from nearfar.data.listing import Listing, Unreadable, facts_of, rows_of
from nearfar.data.reading import for_each_image, skip_or_refuse

_MARGIN_BYTES = 64 * 2**20  # left free on the disk
_LOOKED_AT = 2000  # images, for whether there are colors
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, eq=False)
class ImageData:
    """What everything later reads. `images` and `half` may be mapped from disk and cannot be
    written to.
    """

    name: str
    images: UInt8[np.ndarray, "n side side 3"]
    half: UInt8[np.ndarray, "n half half 3"]
    sizes_px: Int64[Tensor, "n 2"]  # true width and height
    labels: Int64[Tensor, " n"]  # -1: none
    splits: Shaped[np.ndarray, " n"]  # (n,)
    paths: tuple[str, ...]
    class_names: tuple[str, ...]
    default_policy: str | None
    skipped: tuple[Unreadable, ...]
    source: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def side(self) -> int:
        """S, px."""
        return int(self.images.shape[1])

    def rows(self, index: Int64[Tensor, " batch"]) -> StoredImages:
        """Copies of these rows, from which views are made."""
        where = index.cpu().numpy()
        return StoredImages(
            torch.from_numpy(np.ascontiguousarray(self.images[where])),
            torch.from_numpy(np.ascontiguousarray(self.half[where])),
            self.sizes_px[index.cpu()],
        )

    def split(self, name: str) -> Int64[Tensor, " rows"]:
        """Row numbers of "train", "val", "test" or "unlabeled"."""
        return rows_of(self.splits, name)

    def facts(self, side: int) -> DataFacts:
        """The facts with views of `side` px."""
        facts = facts_of(self.name, self.class_names, self.labels.numpy(), self.splits, side)
        return replace(facts, colored=self.colored)

    @cached_property
    def colored(self) -> bool:
        """Whether a pixel of at most 2,000 images, spread evenly, is not gray."""
        few = np.linspace(0, max(len(self) - 1, 0), min(len(self), _LOOKED_AT)).astype(np.int64)
        return any(bool((self.images[row] != self.images[row, ..., :1]).any()) for row in few)


def store_side(listing: Listing, view_size: int) -> int:
    """S in px: twice the view's, but not above the data's own, so that small images are not
    enlarged.
    """
    return max(1, min(2 * view_size, listing.longest))


def store_bytes(listing: Listing, side: int) -> int:
    """What the store takes, in memory or on disk."""
    return len(listing) * 3 * (side * side + half_side(side) ** 2)


def load(
    listing: Listing, *, view_size: int, strict: bool = False, progress: Progress | None = None
) -> ImageData:
    """The listing decoded once; files come from the cache the next time.

    Files that cannot be decoded are left out and named in `skipped`. Raises DataError where they
    are more than 1 % (any, with `strict`), and where the cache's disk has no room even for half the
    side.
    """
    progress = progress or Progress(quiet=True)
    side = store_side(listing, view_size)
    content = listing.reader.key()
    if content is None:
        return _in_memory(listing, side, strict, progress)
    for attempt in (side, max(1, side // 2)):
        place = cache.set_folder(listing, content, attempt)
        if cache.read_facts(place) is None:
            try:
                _make_set(listing, attempt, place, strict, progress)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise cache.cannot_write(place.parent, error) from error
                if attempt == side:
                    progress.say(
                        f"no room for {store_bytes(listing, side) / 1e9:.3g} GB of images at {side}"
                        f" px in {cache.cache_folder()}: they are kept at {max(1, side // 2)} px"
                    )
                continue
        return _mapped(listing, place, strict)
    raise DataError(
        f"want {store_bytes(listing, max(1, side // 2)) / 1e9:.3g} GB for decoded images in"
        f" {cache.cache_folder()}, got {cache.free_bytes() / 1e9:.3g} GB free; make room or set"
        " NEARFAR_CACHE"
    )


def _in_memory(listing: Listing, side: int, strict: bool, progress: Progress) -> ImageData:
    images, half = io.BytesIO(), io.BytesIO()
    sizes, unreadable = _decode_into(images, half, listing, side, progress)
    kept = np.flatnonzero(sizes[:, 0] > 0)
    h = half_side(side)
    return _image_data(
        listing,
        np.frombuffer(images.getvalue(), np.uint8).reshape(len(kept), side, side, 3),
        np.frombuffer(half.getvalue(), np.uint8).reshape(len(kept), h, h, 3),
        sizes,
        skip_or_refuse(listing, unreadable, strict=strict),
    )


def _make_set(listing: Listing, side: int, place: Path, strict: bool, progress: Progress) -> None:
    """Decodes into the cache. Raises OSError where the disk is full."""
    if cache.free_bytes() < store_bytes(listing, side) + _MARGIN_BYTES:
        raise OSError(errno.ENOSPC, "no room")
    with cache.written_whole(place) as folder:
        with (folder / "images.u8").open("w+b") as images, (folder / "half.u8").open("w+b") as half:
            sizes, unreadable = _decode_into(images, half, listing, side, progress)
        skip_or_refuse(listing, unreadable, strict=strict)
        sizes.astype("<i8").tofile(folder / "sizes.i64")
        facts = {
            "listed": len(listing),
            "rows": int((sizes[:, 0] > 0).sum()),
            "side": side,
            "half": half_side(side),
            "unreadable": [[file.path, file.reason] for file in unreadable],
        }
        (folder / "set.json").write_text(json.dumps(facts), encoding="utf-8")


def _mapped(listing: Listing, place: Path, strict: bool) -> ImageData:
    facts = cache.read_facts(place)
    if facts is None:
        raise DataError(f"{place} vanished while it was read; run the command again")
    n, side, half = (cast(int, facts[key]) for key in ("rows", "side", "half"))
    unreadable = [
        Unreadable(path, reason) for path, reason in cast(list[list[str]], facts["unreadable"])
    ]
    return _image_data(
        listing,
        np.memmap(place / "images.u8", np.uint8, "r", shape=(n, side, side, 3)),
        np.memmap(place / "half.u8", np.uint8, "r", shape=(n, half, half, 3)),
        np.fromfile(place / "sizes.i64", dtype="<i8").astype(np.int64).reshape(-1, 2),
        skip_or_refuse(listing, unreadable, strict=strict),
    )


def _image_data(
    listing: Listing,
    images: UInt8[np.ndarray, "n side side 3"],
    half: UInt8[np.ndarray, "n half half 3"],
    sizes: Int64[np.ndarray, "listed 2"],
    skipped: tuple[Unreadable, ...],
) -> ImageData:
    kept = np.flatnonzero(sizes[:, 0] > 0)
    return ImageData(
        name=listing.name,
        images=images,
        half=half,
        sizes_px=torch.from_numpy(sizes[kept]),
        labels=torch.from_numpy(listing.labels[kept]),
        splits=listing.splits[kept],
        paths=tuple(listing.paths[row] for row in kept),
        class_names=listing.class_names,
        default_policy=listing.default_policy,
        skipped=skipped,
        source=listing.source,
    )


def _decode_into(
    images: io.BufferedIOBase,
    half: io.BufferedIOBase,
    listing: Listing,
    side: int,
    progress: Progress,
) -> tuple[Int64[np.ndarray, "listed 2"], list[Unreadable]]:
    """Rows written in the listing's order, without gaps; sizes (0, 0) stand for files left out."""
    sizes = np.zeros((len(listing), 2), dtype=np.int64)
    unreadable: list[Unreadable] = []
    with pillow_is_quiet(), ExitStack() as stack:
        results = cast(
            Iterator[tuple[int, Decoded | Broken]],
            for_each_image(listing, partial(decode, side=side), progress),
        )
        stack.callback(results.close)  # type: ignore[attr-defined]
        for row, result in results:
            if isinstance(result, Broken):
                unreadable.append(Unreadable(listing.paths[row], result.reason))
                continue
            _put(images, row, result.square)
            _put(half, row, result.half)
            sizes[row] = result.width, result.height
    kept = np.flatnonzero(sizes[:, 0] > 0)
    for file, row_bytes in ((images, side * side * 3), (half, half_side(side) ** 2 * 3)):
        _close_gaps(file, kept, row_bytes)
    return sizes, unreadable


def _put(file: io.BufferedIOBase, row: int, pixels: UInt8[np.ndarray, "side side 3"]) -> None:
    file.seek(row * pixels.nbytes)
    file.write(pixels.tobytes())


def _close_gaps(file: io.BufferedIOBase, kept: NDArray[np.intp], row_bytes: int) -> None:
    """Moves the kept rows together and cuts the file after them."""
    for target, row in enumerate(kept.tolist()):
        if target != row:
            file.seek(row * row_bytes)
            content = file.read(row_bytes)
            file.seek(target * row_bytes)
            file.write(content)
    file.truncate(len(kept) * row_bytes)
