"""The one way to go through images: for the store that keeps them, the check that judges them, and
whoever encodes them.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.data.listing import Listing, Raw, Unreadable

R = TypeVar("R")
T = TypeVar("T")
_AHEAD = 16  # files in flight for each worker
# below, threads waste more time on handing the interpreter over than they win
_THREADS_FROM_PX = 160
SKIPPED_AT_MOST = 0.01  # of the files, and one always


def for_each_image(
    listing: Listing, work: Callable[[Raw], T], progress: Progress, title: str = "decoding"
) -> Generator[tuple[int, T], None, None]:
    """(row, work(raw)) of every row once, in threads (Pillow decodes without the interpreter's
    lock).
    """

    def at_its_row(image: tuple[int, Raw]) -> tuple[int, T]:
        return image[0], work(image[1])

    workers = workers_for(listing.longest)
    results = in_order(at_its_row, listing.reader.read(), workers, ahead=_AHEAD)
    with progress.bar(len(listing), title) as bar:
        for row, result in results:
            bar.advance()
            yield row, result


def workers_for(longest_px: int) -> int:
    """How many threads decode images of that long side."""
    return min(_cores(), 8) if longest_px >= _THREADS_FROM_PX else 1


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)


def in_order(
    work: Callable[[T], R], items: Iterable[T], workers: int, *, ahead: int
) -> Generator[R, None, None]:
    """work(item) of each item, in the order of the items: by so many threads, of which each has at
    most `ahead` items in hand or done before they are asked for. One worker is this thread.

    Closed early, or stopped by an error or an interrupt, it waits for what is in work, and begins
    nothing more.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= ahead * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def most_skipped(files: int) -> int:
    """How many of so many files may be unreadable."""
    return max(1, int(SKIPPED_AT_MOST * files))


def skip_or_refuse(
    listing: Listing, unreadable: list[Unreadable], *, strict: bool
) -> tuple[Unreadable, ...]:
    """All files that are left out, sorted by path.

    Raises DataError where they are more than 1 % of the files and more than one, or any with
    `strict`.
    """
    skipped = tuple(sorted([*listing.strays, *unreadable], key=lambda file: file.path))
    files = len(listing) + len(listing.strays)
    allowed = 0 if strict else most_skipped(files)
    if len(skipped) > allowed:
        most = f"at most {SKIPPED_AT_MOST * 100:g} % of the images unreadable, or one"
        rule = "every image readable (--strict)" if strict else most
        lines = [f"{file.path}: {file.reason}" for file in skipped[:10]]
        more = [f"... and {len(skipped) - 10} more"] if len(skipped) > 10 else []
        head = f"{listing.source}: want {rule}, got {len(skipped)} of {files}; mend or remove"
        raise DataError("\n  ".join([head, *lines, *more]))
    return skipped
