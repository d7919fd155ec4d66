"""Images that are read and decoded whenever they are asked for, instead of once: for data that do
not fit the disk of the cache.

n rows, S side, half = S // 2.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from nearfar.core.errors import DataError
from nearfar.core.types import StoredImages
from nearfar.data.center import CenterSquare
from nearfar.data.decoding import (
    Decoded,
    evaluation_pixels,
    half_side,
    pillow_is_quiet,
    training_pixels,
)
from nearfar.data.groups import NEAR, named_in_paths, with_named
from nearfar.data.images import ImageData
from nearfar.data.listing import Broken, Listing, RandomReader, Unreadable
from nearfar.data.reading import in_order, most_skipped, workers_for
from nearfar.data.sampler import SHARDS_AT_ONCE, Drawn

_BATCHES_AHEAD = 3
_ROWS_A_TASK = 16
_SAMPLED_SHARDS = 8  # that statistics of a whole set look into
_GRAY = 127  # an image that cannot be read


@dataclass(frozen=True, eq=False)
class _Batch:
    """Rows on their way: threads fill the arrays."""

    images: UInt8[np.ndarray, "batch side side 3"]
    half: UInt8[np.ndarray, "batch half half 3"]
    sizes_px: Int64[np.ndarray, "batch 2"]
    tasks: list[Future[None]]


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedImages(ImageData):
    """Equal, pixel for pixel, to what a store would hold. An image that cannot be read is shown as
    gray, and named in the end; DataError where they are more than 1 % (any, with `strict`).
    """

    reader: RandomReader
    stored_side: int  # px, what a store would have
    workers: int
    strict: bool = False
    broken: dict[int, str] = field(default_factory=dict)  # reasons by row
    coming: dict[tuple[int, ...], _Batch] = field(default_factory=dict)

    @property
    def side(self) -> int:
        return self.stored_side

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        found = [Unreadable(self.paths[row], reason) for row, reason in self.broken.items()]
        return tuple(sorted([*self.skipped, *found], key=lambda file: file.path))

    def shards(self) -> Int64[np.ndarray, " n"] | None:
        return self.reader.shards()

    def ahead(self, order: Iterator[Drawn]) -> Iterator[Drawn]:
        """The same batches, of which the next few are read and decoded meanwhile."""
        batches = list(order)
        needed = self._needed(batches)
        waiting: deque[Drawn] = deque()
        with pillow_is_quiet(), ThreadPoolExecutor(self.workers, "stream") as pool:
            try:
                for step, (index, draw) in enumerate(batches):
                    for shard in needed.get(step, ()):
                        self.reader.expect(shard)
                    rows = index.tolist()
                    self.coming[tuple(rows)] = self._begun(rows, pool)
                    waiting.append((index, draw))
                    if len(waiting) > _BATCHES_AHEAD:
                        yield waiting.popleft()
                yield from waiting
            finally:
                self.coming.clear()
                pool.shutdown(wait=True, cancel_futures=True)

    def rows(self, index: Int64[Tensor, " batch"]) -> StoredImages:
        rows = index.tolist()
        batch = self.coming.pop(tuple(rows), None)
        if batch is None:
            with pillow_is_quiet(), ThreadPoolExecutor(self.workers) as pool:
                batch = self._begun(rows, pool)
        for task in batch.tasks:
            task.result()
        self._refuse_many()
        pixels = torch.from_numpy(batch.images), torch.from_numpy(batch.half)
        return StoredImages(*pixels, torch.from_numpy(batch.sizes_px))

    def evaluation_pixels(self, index: Int64[Tensor, " batch"]) -> UInt8[Tensor, "batch _ _ 3"]:
        found = in_order(self._evaluated, index.tolist(), self.workers, ahead=_ROWS_A_TASK)
        with pillow_is_quiet():
            pixels = np.stack(list(found))
        self._refuse_many()
        return torch.from_numpy(pixels)

    def few(self, rows: Int64[Tensor, " row"], most: int) -> Int64[Tensor, " few"]:
        """Of at most 8 shards, so that the others need not be fetched."""
        shards = self.shards()
        if shards is None:
            return super().few(rows, most)
        of_rows = shards[rows.numpy()]
        sampled = super().few(torch.from_numpy(np.unique(of_rows)), _SAMPLED_SHARDS)
        return super().few(rows[torch.from_numpy(np.isin(of_rows, sampled.numpy()))], most)

    def _needed(self, batches: Sequence[Drawn]) -> dict[int, list[int]]:
        """Which shards are to be fetched at which step: so long before they are read as a window of
        them lasts.
        """
        shards = self.shards()
        if shards is None:
            return {}
        first: dict[int, int] = {}
        for step, (index, _) in enumerate(batches):
            for shard in np.unique(shards[index.numpy()]).tolist():
                first.setdefault(shard, step)
        early = -(-len(batches) * SHARDS_AT_ONCE // max(len(first), 1))
        needed: dict[int, list[int]] = {}
        for shard, step in first.items():
            needed.setdefault(max(step - early, 0), []).append(shard)
        return needed

    def _begun(self, rows: list[int], pool: ThreadPoolExecutor) -> _Batch:
        n, side, half = len(rows), self.side, half_side(self.side)
        batch = _Batch(
            np.full((n, side, side, 3), _GRAY, np.uint8),
            np.full((n, half, half, 3), _GRAY, np.uint8),
            np.full((n, 2), side, np.int64),
            [],
        )
        for start in range(0, n, _ROWS_A_TASK):
            part = rows[start : start + _ROWS_A_TASK]
            batch.tasks.append(pool.submit(self._fill, batch, start, part))
        return batch

    def _fill(self, batch: _Batch, start: int, rows: list[int]) -> None:
        for place, row in enumerate(rows, start):
            found = training_pixels(self.reader.at(row), self.side, self.center)
            if isinstance(found, Decoded):
                batch.images[place], batch.half[place] = found.square, found.half
                batch.sizes_px[place] = found.width, found.height
            else:
                self.broken[row] = found.reason

    def _evaluated(self, row: int) -> UInt8[np.ndarray, "size size 3"]:
        found = evaluation_pixels(self.reader.at(row), self.center)
        if isinstance(found, Broken):
            self.broken[row] = found.reason
            return np.full((self.center.size, self.center.size, 3), _GRAY, np.uint8)
        return found

    def _refuse_many(self) -> None:
        if len(self.broken) <= (0 if self.strict else most_skipped(len(self))):
            return
        lines = [f"{file.path}: {file.reason}" for file in self.unreadable[:10]]
        head = f"{self.source}: want images that can be read, got {len(self.broken)} that cannot"
        raise DataError("\n  ".join([f"{head} so far; mend or remove them", *lines]))


def stream(
    listing: Listing, center: CenterSquare, side: int, *, strict: bool, group_by: str | None
) -> StreamedImages:
    """The listing, to be read on the way. Copies are not looked for.

    DataError: its images come one after another alone, or near copies are to be kept together.
    """
    reader = listing.reader
    if not isinstance(reader, RandomReader):
        raise DataError(f"{listing.source}: cannot be read in any order, as data.stream wants it")
    if group_by == NEAR:
        raise DataError(f"--group-by {NEAR}: wants decoded images (data.stream=false)")
    reader.at(0)  # whether it can
    groups = listing.groups
    if group_by is not None:
        groups = with_named(named_in_paths(listing.paths, group_by), listing)
    return StreamedImages(
        name=listing.name,
        center=center,
        labels=torch.from_numpy(listing.labels),
        splits=(listing if groups is None else listing.cut_around(groups)).splits,
        paths=listing.paths,
        class_names=listing.class_names,
        default_policy=listing.default_policy,
        skipped=listing.strays,
        source=listing.source,
        groups=groups,
        reader=reader,
        stored_side=side,
        workers=workers_for(listing.longest),
        strict=strict,
    )
