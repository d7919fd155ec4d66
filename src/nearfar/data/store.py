"""The decoded data set: uint8 squares with their true size beside, and what evaluations show, in
memory or mapped from a cache file.

n rows (readable images only), S side, half = S // 2.
"""

import errno
import io
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.core.types import StoredImages
from nearfar.data import cache
from nearfar.data.center import CenterSquare
from nearfar.data.decoding import half_side
from nearfar.data.filling import Files, decode_into
from nearfar.data.groups import copies, grouped, joined, of_equal
from nearfar.data.images import ImageData
from nearfar.data.listing import Listing, Unreadable
from nearfar.data.reading import skip_or_refuse
from nearfar.data.streamed import stream

_MARGIN_BYTES = 64 * 2**20  # left free on the disk
_Pixels = UInt8[np.ndarray, "_ _ _ 3"]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, eq=False, kw_only=True)
class KeptImages(ImageData):
    """Decoded once. The pixels may be mapped from disk and cannot be written to.

    `evaluated` are the evaluation views of those pictures that `images` does not hold as they are.
    """

    images: UInt8[np.ndarray, "n side side 3"]
    half: UInt8[np.ndarray, "n half half 3"]
    evaluated: UInt8[np.ndarray, "kept size size 3"]
    sizes_px: Int64[Tensor, "n 2"]  # true width and height

    @property
    def side(self) -> int:
        return int(self.images.shape[1])

    def rows(self, index: Int64[Tensor, " batch"]) -> StoredImages:
        where = index.cpu().numpy()
        return StoredImages(
            torch.from_numpy(np.ascontiguousarray(self.images[where])),
            torch.from_numpy(np.ascontiguousarray(self.half[where])),
            self.sizes_px[index.cpu()],
        )

    def evaluation_pixels(self, index: Int64[Tensor, " batch"]) -> UInt8[Tensor, "batch _ _ 3"]:
        rows = index.cpu().numpy()
        kept = self._kept[rows]
        if (kept >= 0).all():
            return torch.from_numpy(self.evaluated[kept])
        if (kept < 0).all() and self.center.takes_whole(self.side):
            return torch.from_numpy(np.ascontiguousarray(self.images[rows]))
        each = zip(rows.tolist(), kept.tolist(), strict=True)
        made = [self._made(row) if at < 0 else self.evaluated[at] for row, at in each]
        return torch.from_numpy(np.stack(made))

    @cached_property
    def _kept(self) -> Int64[np.ndarray, " n"]:
        """Which of `evaluated` belongs to each row; -1: made of the picture, which is stored."""
        kept = ~self.center.reads_square(self.sizes_px.numpy(), self.side)
        return np.where(kept, kept.cumsum() - 1, -1)

    def _made(self, row: int) -> UInt8[np.ndarray, "size size 3"]:
        picture = Image.fromarray(self.images[row])
        return np.asarray(self.center.of(picture, *picture.size))


def store_side(listing: Listing, view_size: int) -> int:
    """S in px: twice the view's, but not above the data's own, so that small images are not
    enlarged.
    """
    return max(1, min(2 * view_size, listing.longest))


def store_bytes(listing: Listing, side: int, center: CenterSquare) -> int:
    """What the store takes, in memory or on disk, if all images are as those peeked at."""
    usual = np.array([[listing.longest, listing.side]])
    evaluated = 0 if center.reads_square(usual, side)[0] else center.size**2
    return len(listing) * 3 * (side * side + half_side(side) ** 2 + evaluated)


def load(
    listing: Listing,
    center: CenterSquare,
    *,
    strict: bool = False,
    group_by: str | None = None,
    streamed: bool = False,
    progress: Progress | None = None,
) -> ImageData:
    """The listing decoded once, for views of `center.size` px and evaluations that see `center`;
    files come from the cache the next time. Splits are cut around copies and what `group_by` (see
    data.group_by) holds together.

    Files that cannot be decoded are left out and named in `skipped`. Raises DataError where they
    are more than 1 % (any, with `strict`). `streamed`: nothing is stored, images are decoded
    whenever they are asked for. Else DataError, too, where the cache's disk has no room even for
    half the side.
    """
    progress = progress or Progress(quiet=True)
    if streamed:
        side = store_side(listing, center.size)
        return stream(listing, center, side, strict=strict, group_by=group_by)
    decoded = _decoded(listing, center, strict, progress)
    return _image_data(listing, decoded, center, group_by, progress)


@dataclass(frozen=True, eq=False)
class _Decoded:
    images: _Pixels
    half: _Pixels
    evaluated: _Pixels
    sizes: Int64[np.ndarray, "listed 2"]  # (0, 0): left out
    copies: Int64[np.ndarray, " n"]  # the first image of the same content
    skipped: tuple[Unreadable, ...]


def _decoded(listing: Listing, center: CenterSquare, strict: bool, progress: Progress) -> _Decoded:
    side = store_side(listing, center.size)
    content = listing.reader.key()
    if content is None:
        return _in_memory(listing, side, center, strict, progress)
    for attempt in (side, max(1, side // 2)):
        place = cache.set_folder(listing, content, attempt, center)
        facts = cache.read_facts(place)
        if facts is None:
            try:
                _make_set(listing, attempt, center, place, strict, progress)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise cache.cannot_write(place.parent, error) from error
                if attempt == side:
                    progress.say(
                        f"no room for {store_bytes(listing, side, center) / 1e9:.3g} GB of images"
                        f" at {side} px in {cache.cache_folder()}: they are kept at"
                        f" {max(1, side // 2)} px"
                    )
                continue
            facts = cache.read_facts(place)
        if facts is None:
            raise DataError(f"{place} vanished while it was read; run the command again")
        return _mapped(listing, place, facts, strict)
    raise DataError(
        f"want {store_bytes(listing, max(1, side // 2), center) / 1e9:.3g} GB for decoded images in"
        f" {cache.cache_folder()}, got {cache.free_bytes() / 1e9:.3g} GB free; make room, set"
        " NEARFAR_CACHE, or have them decoded anew in every epoch: --set data.stream=true"
    )


def _in_memory(
    listing: Listing, side: int, center: CenterSquare, strict: bool, progress: Progress
) -> _Decoded:
    files = Files(io.BytesIO(), io.BytesIO(), io.BytesIO())
    sizes, unreadable = decode_into(files, listing, side, center, progress)
    images, half, evaluated = (
        np.frombuffer(cast(io.BytesIO, file).getvalue(), np.uint8).reshape(-1, px, px, 3)
        for file, px in zip(files, (side, half_side(side), center.size), strict=True)
    )
    skipped = skip_or_refuse(listing, unreadable, strict=strict)
    equal = copies(images, sizes[sizes[:, 0] > 0])
    return _Decoded(images, half, evaluated, sizes, equal, skipped)


def _make_set(
    listing: Listing,
    side: int,
    center: CenterSquare,
    place: Path,
    strict: bool,
    progress: Progress,
) -> None:
    """Decodes into the cache. Raises OSError where the disk is full."""
    if cache.free_bytes() < store_bytes(listing, side, center) + _MARGIN_BYTES:
        raise OSError(errno.ENOSPC, "no room")
    with cache.written_whole(place) as folder:
        with ExitStack() as stack:
            files = Files(
                *(stack.enter_context((folder / name).open("w+b")) for name in cache.PIXELS)
            )
            sizes, unreadable = decode_into(files, listing, side, center, progress)
        skip_or_refuse(listing, unreadable, strict=strict)
        read = sizes[sizes[:, 0] > 0]
        facts = {
            "listed": len(listing),
            "rows": len(read),
            "side": side,
            "half": half_side(side),
            "evaluated": int((~center.reads_square(read, side)).sum()),
            "center": asdict(center),
            "unreadable": [[file.path, file.reason] for file in unreadable],
        }
        images = _pixels(folder, facts)[0]
        sizes.astype("<i8").tofile(folder / "sizes.i64")
        copies(images, read).astype("<i8").tofile(folder / "copies.i64")
        cache.write_facts(folder, facts)


def _mapped(listing: Listing, place: Path, facts: Mapping[str, Any], strict: bool) -> _Decoded:
    unreadable = [Unreadable(path, reason) for path, reason in facts["unreadable"]]
    images, half, evaluated = _pixels(place, facts)
    sizes = np.fromfile(place / "sizes.i64", dtype="<i8").astype(np.int64).reshape(-1, 2)
    equal = np.fromfile(place / "copies.i64", dtype="<i8").astype(np.int64)
    skipped = skip_or_refuse(listing, unreadable, strict=strict)
    return _Decoded(images, half, evaluated, sizes, equal, skipped)


def _pixels(place: Path, facts: Mapping[str, Any]) -> list[_Pixels]:
    """The arrays of a set, mapped."""
    return [
        np.memmap(place / name, np.uint8, "r", shape=shape)
        if shape[0]
        else np.empty(shape, np.uint8)
        for name, shape in cache.shapes(facts).items()
    ]


def _image_data(
    listing: Listing,
    decoded: _Decoded,
    center: CenterSquare,
    group_by: str | None,
    progress: Progress,
) -> ImageData:
    """Cut around the groups of what could be read."""
    kept = np.flatnonzero(decoded.sizes[:, 0] > 0)
    paths = tuple(listing.paths[row] for row in kept)
    sizes = decoded.sizes[kept]
    groups = grouped(decoded.copies, decoded.images, sizes, paths, group_by, progress)
    if listing.groups is not None:
        groups = joined(groups, of_equal(listing.groups[kept].tolist()))
    listed = np.arange(len(listing))
    listed[kept] = kept[groups]
    return KeptImages(
        name=listing.name,
        images=decoded.images,
        half=decoded.half,
        evaluated=decoded.evaluated,
        center=center,
        sizes_px=torch.from_numpy(sizes),
        labels=torch.from_numpy(listing.labels[kept]),
        splits=listing.cut_around(listed).splits[kept],
        paths=paths,
        class_names=listing.class_names,
        default_policy=listing.default_policy,
        skipped=decoded.skipped,
        source=listing.source,
        groups=groups,
    )
