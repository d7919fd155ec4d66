"""Which samples an epoch shows, in which order: the same global batches for every number of ranks.

An epoch is a function of (seed, epoch) alone. `draw` tells how often a sample was drawn before in
the same epoch, so that a sample drawn twice gets different views.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from nearfar.core.randomness import stream_seed, uniform

SHARDS_AT_ONCE = 16
"""Files among whose rows an epoch is shuffled at a time, where they are fetched as a whole."""
Drawn = tuple[Int64[Tensor, " batch"], Int64[Tensor, " batch"]]


def epoch_batches(
    pool: Int64[Tensor, " pool"],
    labels: Int64[Tensor, " pool"],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    balanced: bool = False,
    steps: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    shards: Int64[np.ndarray, " pool"] | None = None,
) -> Iterator[Drawn]:
    """(row numbers, draw) of each batch; `batch_size` is the global batch, of which a rank gets its
    slice.

    `pool` are the row numbers to draw from, `labels` theirs. Without `steps` an epoch is one pass
    over the pool; its last partial batch is dropped. With more `steps` the pool is shuffled anew
    for each pass, so that no batch holds a sample twice. `balanced`: each place of a batch falls to
    each class with the same probability, and within a class no sample is repeated before all were
    drawn. `shards`: the file that each row of the pool is fetched with; a pass goes through 16 of
    them at a time. (More parameters than most functions have: each is a fact of the run that
    decides the order.)

    Raises ValueError where the batch does not divide by the ranks, is larger than the pool, or
    where `balanced` meets a sample without a label.
    """
    if pool.shape != labels.shape:
        raise ValueError(f"want one label for each of {len(pool)} rows, got {len(labels)}")
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(f"want a batch that divides by {world_size} ranks, got {batch_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"want a rank from 0 to {world_size - 1}, got {rank}")
    if balanced and len(pool) and int(labels.min()) < 0:
        raise ValueError(
            "class-balanced batches want a label for every sample, got samples without"
        )
    if batch_size > len(pool) and not (balanced and len(pool) and steps is not None):
        raise ValueError(f"want a batch of at most {len(pool)} (the pool), got {batch_size}")
    count = len(pool) // batch_size if steps is None else steps
    generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    if balanced:
        batches = _balanced(labels, batch_size, count, stream_seed(seed, "class", epoch), generator)
    else:
        shuffle = partial(_shuffled, len(pool), shards)
        batches = _passes(len(pool), batch_size, count, shuffle, generator)
    share = batch_size // world_size
    mine = slice(rank * share, (rank + 1) * share)
    return ((pool[position[mine]], draw[mine]) for position, draw in batches)


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


def _passes(
    n: int,
    batch_size: int,
    steps: int,
    shuffle: Callable[[torch.Generator], Int64[Tensor, " pool"]],
    generator: torch.Generator,
) -> Iterator[Drawn]:
    """`steps` batches of positions in [0, n), a shuffle for each pass."""
    per_pass = n // batch_size
    order = torch.empty(0, dtype=torch.int64)
    # a pass drops its last samples, so passes are no count
    drawn = torch.zeros(n, dtype=torch.int64)
    for step in range(steps):
        place = step % per_pass
        if place == 0:
            order = shuffle(generator)
        part = order[place * batch_size :][:batch_size]
        yield part, drawn[part]
        drawn[part] += 1


def _balanced(
    labels: Int64[Tensor, " pool"],
    batch_size: int,
    steps: int,
    class_key: int,
    generator: torch.Generator,
) -> Iterator[Drawn]:
    """`steps` batches of positions: the class of each place by a counter, then the next of that
    class.
    """
    classes = torch.unique(labels)
    places = steps * batch_size
    numbers = uniform(torch.tensor(class_key), places).double()
    chosen = (numbers * len(classes)).long()
    position = torch.empty(places, dtype=torch.int64)
    draw = torch.empty(places, dtype=torch.int64)
    for number, label in enumerate(classes):
        members = (labels == label).nonzero().flatten()
        where = (chosen == number).nonzero().flatten()
        turns = -(-len(where) // len(members))
        orders = [members[torch.randperm(len(members), generator=generator)] for _ in range(turns)]
        if orders:
            position[where] = torch.cat(orders)[: len(where)]
            draw[where] = torch.arange(len(where)) // len(members)
    for step in range(steps):
        part = slice(step * batch_size, (step + 1) * batch_size)
        yield position[part], draw[part]
