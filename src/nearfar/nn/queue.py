"""The queue: rows of earlier batches, the newest of them.

Letters: V views, B samples, D projection width, Q rows of the queue.
"""

from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.randomness import fold, stream_seed, uniform
from nearfar.core.ranks import Group, gather, placement


@final
class Queue(nn.Module):
    """The newest `size` rows that were pushed, at length 1, with their samples' labels and indexes:
    a ring.

    It begins full of directions that belong to no sample (label and index -1), as MoCo's public
    code does: the same on every rank and in every run, because they are a hash. `filled` counts how
    many of them have been replaced.

    Its rows are buffers, pushed without a gradient: none flows through them into the network that
    made them, and none moves them, as in MoCo and SwAV. (A loss that is given rows with a gradient
    as its `queue` differentiates them exactly; with ranks, after DDP's averaging.)
    """

    rows: Float[Tensor, "queue dim"]
    labels: Int64[Tensor, " queue"]
    index: Int64[Tensor, " queue"]
    pointer: Int64[Tensor, ""]  # where the next row goes
    filled: Int64[Tensor, ""]
    pushes: Int64[Tensor, ""]
    # each row's push, counted from 0; -1 for those it began with
    pushed_at: Int64[Tensor, " queue"]

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        keys = fold(torch.full((size,), stream_seed(0, "queue")), torch.arange(size))
        self.register_buffer("rows", F.normalize(2 * uniform(keys, width) - 1, dim=-1))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("index", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("pushes", torch.zeros((), dtype=torch.int64))
        self.register_buffer("pushed_at", torch.full((size,), -1))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def full(self) -> Bool[Tensor, ""]:
        """Whether every row is a sample's."""
        return self.filled == len(self)

    @property
    def age(self) -> Float[Tensor, ""]:
        """The mean age of samples' rows in pushes, that is in steps: 1 for those of the last one; 0
        of no rows.
        """
        ages = torch.where(self.pushed_at >= 0, self.pushes - self.pushed_at, 0)
        return ages.sum() / self.filled.clamp(min=1)

    @torch.no_grad()
    def push(
        self,
        z: Float[Tensor, "view batch dim"],
        index: Int64[Tensor, " batch"],
        labels: Int64[Tensor, " batch"] | None = None,
        *,
        group: Group = None,
    ) -> None:
        """Puts all views of the samples of all ranks over the oldest rows; of more than Q rows the
        last Q stay.

        View by view, and the samples of ranks one after another, so that all ranks hold what one
        would hold.
        """
        of = placement(len(index), group, z.device)
        labels = torch.full_like(index, -1) if labels is None else labels
        rows = F.normalize(gather(z, of, group, dim=1).flatten(0, 1), dim=-1)[-len(self) :]
        places = (self.pointer + torch.arange(len(rows), device=z.device)) % len(self)
        self.rows[places] = rows.to(self.rows.dtype)
        for kept, new in ((self.labels, labels), (self.index, index)):
            kept[places] = gather(new, of, group).repeat(len(z))[-len(self) :]
        self.pushed_at[places] = self.pushes
        self.pushes.add_(1)
        self.pointer.add_(len(rows)).remainder_(len(self))
        self.filled.add_(len(rows)).clamp_(max=len(self))


def queue_length(asked: int | None, n_images: int, *, most: int) -> int:
    """The rows asked for, or `most`, but at most half the training images: a longer queue would
    hold a sample's own earlier key more often than not.
    """
    return max(1, min(most, n_images // 2)) if asked is None else asked
