"""Representations of pictures as they are read: a few threads decode and encode a chunk at a time,
and what is in memory does not depend on how many pictures there are.
"""

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from nearfar.core.memory import kept_memory
from nearfar.core.threads import threads_shared_by
from nearfar.data.decoding import evaluation_pixels, pillow_is_quiet
from nearfar.data.listing import Broken, Raw
from nearfar.data.reading import in_order, workers_for
from nearfar.data.samples import EvaluationView
from nearfar.nn.encoders import Encoder, Precision
from nearfar.nn.frozen import FrozenEncoder, rows_a_call

T = TypeVar("T")
Look = Callable[[int, Raw], UInt8[np.ndarray, "size size 3"] | Broken]
_CHUNKS_AHEAD = 2  # for each thread: the one in work, and one that waits


@dataclass(frozen=True)
class Represented:
    """A chunk: the numbers of the pictures that could be read, with their representations; of the
    others the numbers, with the reasons.
    """

    numbers: tuple[int, ...]
    x: Float32[np.ndarray, "row embed"]
    broken: tuple[tuple[int, str], ...]

    def __len__(self) -> int:
        return len(self.numbers) + len(self.broken)


def represent(
    encoder: Encoder,
    view: EvaluationView,
    pictures: Iterable[tuple[int, Raw]],
    *,
    count: int,
    longest_px: int,
    precision: Precision = "float32",
    look: Look | None = None,
) -> Generator[Represented, None, None]:
    """`count` numbered pictures, in their order, by an encoder in evaluation mode on the CPU; with
    as many threads as pictures of that long side are worth. To be closed where it is left early.

    `look`, which threads call, gives the evaluation view of a picture in another way than
    `evaluation_pixels`, and may note more of it.
    """
    look = look or (lambda _number, raw: evaluation_pixels(raw, view.center))
    rows = rows_a_call(encoder)
    workers = min(workers_for(longest_px), -(-count // rows))
    at_once = min(workers, torch.get_num_threads())
    frozen = FrozenEncoder(encoder, at_once=at_once, count=count, precision=precision)

    def work(chunk: tuple[tuple[int, Raw], ...]) -> Represented:
        seen = [(number, look(number, raw)) for number, raw in chunk]
        broken = tuple((number, made.reason) for number, made in seen if isinstance(made, Broken))
        read = {number: made for number, made in seen if not isinstance(made, Broken)}
        x = np.empty((0, encoder.width), np.float32)
        if read:
            x = frozen(view.normalized(torch.from_numpy(np.stack(list(read.values())))))
        return Represented(tuple(read), x, broken)

    results = in_order(work, in_chunks(pictures, rows), workers, ahead=_CHUNKS_AHEAD)
    with pillow_is_quiet(), kept_memory(), threads_shared_by(frozen.at_once), closing(results):
        yield from results


def in_chunks(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """So many of them at a time, at last as many as are left."""
    left = iter(items)
    while chunk := tuple(itertools.islice(left, size)):
        yield chunk
