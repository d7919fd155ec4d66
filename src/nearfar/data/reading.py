"""The one way to go through images: for the store that keeps them and for the check that judges
them.
"""

import itertools
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.data.listing import Listing, Raw, Unreadable

T = TypeVar("T")
_CHUNK = 64  # files in flight for each worker
# below, threads waste more time on handing the interpreter over than they win
_THREADS_FROM_PX = 160
SKIPPED_AT_MOST = 0.01  # of the files, and one always


def for_each_image(
    listing: Listing, work: Callable[[Raw], T], progress: Progress, title: str = "decoding"
) -> Generator[tuple[int, T], None, None]:
    """(row, work(raw)) of every row once, in threads (Pillow decodes without the interpreter's
    lock).
    """
    workers = _workers() if listing.longest >= _THREADS_FROM_PX else 1
    source = listing.reader.read()
    with progress.bar(len(listing), title) as bar, ThreadPoolExecutor(workers) as pool:
        while chunk := list(itertools.islice(source, _CHUNK * workers)):
            raws = [raw for _, raw in chunk]
            results = pool.map(work, raws) if workers > 1 else map(work, raws)
            for (row, _), result in zip(chunk, results, strict=True):
                bar.advance()
                yield row, result


def _workers() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    return min(cores, 8)


def skip_or_refuse(
    listing: Listing, unreadable: list[Unreadable], *, strict: bool
) -> tuple[Unreadable, ...]:
    """All files that are left out, sorted by path.

    Raises DataError where they are more than 1 % of the files and more than one, or any with
    `strict`.
    """
    skipped = tuple(sorted([*listing.strays, *unreadable], key=lambda file: file.path))
    files = len(listing) + len(listing.strays)
    allowed = 0 if strict else max(1, int(SKIPPED_AT_MOST * files))
    if len(skipped) > allowed:
        most = f"at most {SKIPPED_AT_MOST * 100:g} % of the images unreadable, or one"
        rule = "every image readable (--strict)" if strict else most
        lines = [f"{file.path}: {file.reason}" for file in skipped[:10]]
        more = [f"... and {len(skipped) - 10} more"] if len(skipped) > 10 else []
        head = f"{listing.source}: want {rule}, got {len(skipped)} of {files}; mend or remove"
        raise DataError("\n  ".join([head, *lines, *more]))
    return skipped
