"""What losses need of other ranks: sums and gathered rows whose gradients are those of one rank
with everything.

The rule behind every function here: each rank computes the same global value, and the gradient that
flows back into a rank's own rows is the *sum* of what all ranks' values owe to them, W times the
gradient of the global value. DDP's averaging divides by W. A loss is therefore right if it is a
function of `all_sum`s of local terms.

`group` None means one rank, whatever torch.distributed thinks: a loss that asks by itself deadlocks
where one rank evaluates and another does not. Letters: W ranks, B samples of this rank.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

Group = dist.ProcessGroup | None


def all_sum(x: Tensor, group: Group) -> Tensor:
    """The sum over ranks; its gradient is summed over ranks too."""
    if group is None:
        return x
    out: Tensor = _AllSum.apply(x, group)
    return out


def all_max(x: Tensor, group: Group) -> Tensor:
    """The largest over ranks, element by element; no gradient."""
    if group is None:
        return x.detach()
    out = x.detach().clone()
    dist.all_reduce(out, dist.ReduceOp.MAX, group=group)
    return out


@dataclass(frozen=True)
class Placement:
    """How the samples of a batch lie on the ranks: `start` and `stop` of this one's among
    `total`.
    """

    sizes: tuple[int, ...]
    rank: int

    @property
    def start(self) -> int:
        return sum(self.sizes[: self.rank])

    @property
    def stop(self) -> int:
        return self.start + self.sizes[self.rank]

    @property
    def total(self) -> int:
        return sum(self.sizes)


def placement(samples: int, group: Group, device: torch.device) -> Placement:
    """The sizes of all ranks' batches, which may differ. A collective call."""
    if group is None:
        return Placement((samples,), 0)
    own = torch.tensor([samples], device=device)
    sizes = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(sizes, own, group=group)
    return Placement(tuple(int(size) for size in sizes), dist.get_rank(group))


def gather(x: Tensor, of: Placement, group: Group, *, dim: int = 0) -> Tensor:
    """All ranks' `x`, joined along the dimension of samples in the order of ranks. Its backward
    sums over ranks.
    """
    if group is None:
        return x
    out: Tensor = _Gather.apply(x, of, group, dim)
    return out


def own_part(x: Tensor, group: Group) -> Tensor:
    """This rank's part of rows that every rank holds: each row is in one part."""
    return x if group is None else x.tensor_split(dist.get_world_size(group))[dist.get_rank(group)]


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        out = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out, group=group)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        out = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out, group=ctx.group)
        return out, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, of: Placement, group: dist.ProcessGroup, dim: int) -> Tensor:
        ctx.of, ctx.group, ctx.dim = of, group, dim
        largest = max(of.sizes)
        mine = x.detach().movedim(dim, 0)
        padded = mine.new_zeros(largest, *mine.shape[1:])  # collectives want equal shapes
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in of.sizes]
        dist.all_gather(parts, padded, group=group)
        joined = torch.cat([part[:size] for part, size in zip(parts, of.sizes, strict=True)])
        return joined.movedim(0, dim).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        out = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out, group=ctx.group)
        of: Placement = ctx.of
        return out.narrow(ctx.dim, of.start, of.stop - of.start), None, None, None
