"""Which samples an epoch shows, in which order: the same global batches for every number of ranks.

An epoch is a function of (seed, epoch) alone, so the rest of one after k steps is the same on any
number of ranks. `draw` tells how often a sample was drawn before in the same epoch, so that a
sample drawn twice gets different views.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import sqrt

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from nearfar.config.data import SamplingName
from nearfar.core.randomness import stream_seed, uniform

SHARDS_AT_ONCE = 16
"""Files among whose rows an epoch is shuffled at a time, where they are fetched as a whole."""
Drawn = tuple[Int64[Tensor, " batch"], Int64[Tensor, " batch"]]


@dataclass(frozen=True)
class Sampling:
    """How often each class is drawn (as Kang et al. 2020, arXiv:1910.09217, section 4.1 call it).

    - uniform: passes over all samples, so a class as often as it is large;
    - balanced, sqrt: the class of each place of a batch is drawn anew, all equally likely, or as
      the square root of their sizes;
    - m_per_class: a batch is of `per_class` samples of each of its classes, which take turns.
    """

    name: SamplingName = "uniform"
    per_class: int | None = None  # m, with m_per_class alone

    @property
    def by_class(self) -> bool:
        """Whether it looks at labels."""
        return self.name != "uniform"

    def shares(self, counts: Sequence[int]) -> list[float]:
        """The part of all places that falls to each class of such sizes, on average."""
        if self.name == "uniform":
            weights = [float(n) for n in counts]
        elif self.name == "sqrt":
            weights = [sqrt(n) for n in counts]
        else:
            weights = [float(n > 0) for n in counts]
        total = max(sum(weights), 1.0)
        return [weight / total for weight in weights]

    def misfit(self, batch_size: int, classes: int) -> str | None:
        """Why a batch cannot be of whole groups of so many classes, or None."""
        m = self.per_class
        if m is None:
            return None
        if batch_size % m:
            return f"want a multiple of {m} (data.per_class), got {batch_size}"
        if batch_size > m * classes:
            least = -(-batch_size // max(classes, 1))
            return (
                f"want at most {m * classes} ({m} of each of {classes} classes), got {batch_size};"
                f" or data.per_class of at least {least}"
            )
        return None


UNIFORM = Sampling()


def epoch_batches(
    pool: Int64[Tensor, " pool"],
    labels: Int64[Tensor, " pool"],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    sampling: Sampling = UNIFORM,
    steps: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    shards: Int64[np.ndarray, " pool"] | None = None,
) -> Iterator[Drawn]:
    """(row numbers, draw) of each batch; `batch_size` is the global batch, of which a rank gets its
    slice.

    `pool` are the row numbers to draw from, `labels` theirs. Without `steps` an epoch has the
    batches of one pass over the pool; a pass drops its last partial batch, and the next is shuffled
    anew, so that no batch holds a sample twice. Where `sampling` is by class, no sample of a class
    is repeated before all were drawn (with m_per_class: all that fill whole groups). `shards`: the
    file that each row of the pool is fetched with; a uniform pass goes through 16 of them at a
    time. (More parameters than most functions have: each is a fact that decides the order.)

    Raises ValueError where the batch does not divide by the ranks or into whole groups, is larger
    than the pool, or where classes are drawn and a sample has none.
    """
    if pool.shape != labels.shape:
        raise ValueError(f"want one label for each of {len(pool)} rows, got {len(labels)}")
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(f"want a batch that divides by {world_size} ranks, got {batch_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"want a rank from 0 to {world_size - 1}, got {rank}")
    if sampling.by_class and len(pool) and int(labels.min()) < 0:
        raise ValueError("batches by class want a label for every sample, got samples without")
    if batch_size > len(pool) and not (sampling.by_class and len(pool) and steps is not None):
        raise ValueError(f"want a batch of at most {len(pool)} (the pool), got {batch_size}")
    steps = len(pool) // batch_size if steps is None else steps
    if misfit := sampling.misfit(batch_size, len(torch.unique(labels))):
        raise ValueError(misfit)
    generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    if not sampling.by_class:
        batches = _passes(len(pool), batch_size, generator, shards)
    elif sampling.per_class is not None:
        batches = _groups(_by_class(labels), batch_size, sampling.per_class, generator)
    else:
        numbers = uniform(torch.tensor(stream_seed(seed, "class", epoch)), steps * batch_size)
        batches = _placed(_by_class(labels), sampling, numbers.double(), batch_size, generator)
    share = batch_size // world_size
    mine = slice(rank * share, (rank + 1) * share)
    return ((pool[at[mine]], draw[mine]) for at, draw in islice(batches, steps))


def _shuffled(
    n: int, shards: Int64[np.ndarray, " pool"] | None, generator: torch.Generator
) -> Int64[Tensor, " pool"]:
    """Positions in [0, n) in any order; of shards so many at a time, in any order among them."""
    if shards is None:
        return torch.randperm(n, generator=generator)
    names, number = np.unique(shards, return_inverse=True)
    turn = torch.randperm(len(names), generator=generator) // SHARDS_AT_ONCE
    places = torch.randperm(n, generator=generator)
    return places[torch.argsort(turn[torch.from_numpy(number)[places]], stable=True)]


def _by_class(labels: Int64[Tensor, " pool"]) -> tuple[Tensor, ...]:
    """The positions of each class that is there, in the order of the classes."""
    _, counts = torch.unique(labels, return_counts=True)
    return torch.split(torch.argsort(labels, stable=True), counts.tolist())


def _passes(
    n: int,
    batch_size: int,
    generator: torch.Generator,
    shards: Int64[np.ndarray, " pool"] | None = None,
) -> Iterator[Drawn]:
    """Batches of positions in [0, n) without end, a shuffle for each pass."""
    per_pass = n // batch_size
    order = torch.empty(0, dtype=torch.int64)
    # a pass drops its last samples, so passes are no count
    drawn = torch.zeros(n, dtype=torch.int64)
    for step in count():
        place = step % per_pass
        if place == 0:
            order = _shuffled(n, shards, generator)
        part = order[place * batch_size :][:batch_size]
        yield part, drawn[part]
        drawn[part] += 1


def _placed(
    classes: Sequence[Tensor],
    sampling: Sampling,
    numbers: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> Iterator[Drawn]:
    """Batches of positions: the class of each place by its number in [0, 1), then the next of that
    class.
    """
    shares = sampling.shares([len(members) for members in classes])
    edges = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    chosen = torch.searchsorted(edges, numbers, right=True).clamp_(max=len(classes) - 1)
    places = torch.argsort(chosen, stable=True)
    each = torch.bincount(chosen, minlength=len(classes)).tolist()
    position = torch.empty(len(chosen), dtype=torch.int64)
    draw = torch.empty(len(chosen), dtype=torch.int64)
    for members, where in zip(classes, torch.split(places, each), strict=True):
        if not len(where):
            continue
        position[where] = members[_in_turns(len(members), len(where), generator)]
        draw[where] = torch.arange(len(where)) // len(members)
    return zip(torch.split(position, batch_size), torch.split(draw, batch_size), strict=True)


def _groups(
    classes: Sequence[Tensor], batch_size: int, m: int, generator: torch.Generator
) -> Iterator[Drawn]:
    """Batches of `m` positions of each of their classes, without end; of a class with fewer some
    are repeated.
    """
    waiting: dict[int, Iterator[Drawn]] = {}
    for chosen, _ in _passes(len(classes), batch_size // m, generator):
        for number in set(chosen.tolist()) - waiting.keys():
            waiting[number] = _groups_of(len(classes[number]), m, generator)
        groups = [(classes[number], *next(waiting[number])) for number in chosen.tolist()]
        position = torch.cat([members[at] for members, at, _ in groups])
        yield position, torch.cat([draw for _, _, draw in groups])


def _groups_of(n: int, m: int, generator: torch.Generator) -> Iterator[Drawn]:
    """Groups of `m` of a class's `n` positions, without end."""
    if n >= m:
        yield from _passes(n, m, generator)
    drawn = torch.zeros(n, dtype=torch.int64)
    while True:
        at = _in_turns(n, m, generator)
        yield at, drawn[at] + torch.arange(m) // n
        drawn += torch.bincount(at, minlength=n)


def _in_turns(n: int, wanted: int, generator: torch.Generator) -> Int64[Tensor, " wanted"]:
    """So many of the positions in [0, n): none is repeated before all were taken."""
    turns = [torch.randperm(n, generator=generator) for _ in range(-(-wanted // n))]
    return torch.cat(turns)[:wanted] if turns else torch.empty(0, dtype=torch.int64)
