"""The core in tiles, in plain torch: never more than one tile of the M x N logits, the backward makes them again.

Rows are scaled by the root of 1 / temperature first, so that a product is a logit. Where a batch is set against
itself the matrix is symmetric: each tile above the diagonal serves its rows and its columns, forward and backward:

    l_i = log sum_j exp(s_ij)          dz_i = sum_j exp(s_ij) (g_i exp(-l_i) + g_j exp(-l_j)) z_j / temperature

for the gradients g of l. `safe` keeps running maxima, for logits whose exponentials leave the range of numbers;
else none are needed (a constant shift by the largest possible logit would underflow whole rows at low temperatures).

Sizes measured on two cores with AVX-512, N = 8,192, D = 128, forward: tiles of 256 rows 61 ms, 512 56 ms, 1,024 70 ms
on one thread, of which the matrix products take 42.

Letters: M anchors, N candidates, D projection width, T side of a tile.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.losses.tiled.pairs import Pairs

SIDE_ON_CPU = 512  # T for up to four threads: two tiles of float32 stay in a core's cache
SIDE_ON_GPU = 8192  # where no kernel of its own serves


def forward(pairs: Pairs, *, safe: bool) -> Tensor:
    """(M,): the log-sum-exp of each anchor, accumulated in float64."""
    a, b = _scaled(pairs)
    sums = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    largest = torch.full_like(sums, -torch.inf)
    for rows, columns, tile in _tiles(pairs, a, b):
        mirrored = pairs.symmetric and columns.start > rows.start
        if safe:
            transposed = tile.T.clone() if mirrored else None
            _accumulate(sums[rows], largest[rows], tile)
            if transposed is not None:
                _accumulate(sums[columns], largest[columns], transposed)
            continue
        tile.exp_()
        sums[rows] += tile.sum(dim=1)
        if mirrored:
            sums[columns] += tile.sum(dim=0)
    out = sums.log_()
    return (out + largest.nan_to_num(neginf=0.0) if safe else out).to(a.dtype)


def _accumulate(sums: Tensor, largest: Tensor, logits: Tensor) -> None:
    """One more tile into running maxima and sums relative to them; overwrites `logits`."""
    new = torch.maximum(largest, logits.amax(dim=1))
    shift = new.nan_to_num(neginf=0.0)  # rows that have met no candidate yet
    sums.mul_((largest - shift).exp_()).add_(logits.sub_(shift.to(logits.dtype)[:, None]).exp_().sum(dim=1))
    largest.copy_(new)


def backward(pairs: Pairs, lse: Tensor, grad: Tensor, *, safe: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of anchors and candidates (None where the anchors are the candidates) for gradients of `lse`."""
    a, b = _scaled(pairs)
    symmetric = pairs.symmetric
    unit = grad.abs().amax().clamp(min=torch.finfo(grad.dtype).tiny)  # keeps the weights among normal numbers
    weights = _Weights(grad / unit, torch.where(lse.isneginf(), torch.inf, lse), symmetric=symmetric, safe=safe)
    to_a = torch.zeros_like(a)
    to_b = to_a if symmetric else torch.zeros_like(b)
    for rows, columns, tile in _tiles(pairs, a, b):
        tile = weights.apply(tile, rows, columns)
        to_a[rows].addmm_(tile, b[columns])
        if not symmetric or columns.start > rows.start:
            to_b[columns].addmm_(tile.T, a[rows])
    back = unit * math.sqrt(pairs.scale)
    return to_a.mul_(back), None if symmetric else to_b.mul_(back)


class _Weights:
    """Turns a tile of logits into the weights of its pairs: exp(s_ij) (u_i [+ u_j]), u = g exp(-l)."""

    def __init__(self, grad: Tensor, lse: Tensor, *, symmetric: bool, safe: bool) -> None:
        self.grad, self.lse, self.symmetric, self.safe = grad, lse, symmetric, safe
        self.u = grad * (-lse).exp()

    def apply(self, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        if not self.safe:
            both = self.u[rows, None] + self.u[columns] if self.symmetric else self.u[rows, None]
            return tile.exp_().mul_(both)
        by_row = (tile - self.lse[rows, None]).exp_().mul_(self.grad[rows, None])
        if not self.symmetric:
            return by_row
        return by_row.add_(tile.sub_(self.lse[columns]).exp_().mul_(self.grad[columns]))


def one_positive(pairs: Pairs, negatives: Tensor, *, inside: bool) -> Tensor:
    """See `reference.one_positive`."""
    a, b = _scaled(pairs)
    sums = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    for rows, _, tile in _tiles(pairs, a, b):
        ahead = _ahead(tile, negatives[rows])
        nothing = ahead.isneginf()
        sums[rows] += (torch.sigmoid(ahead) if inside else F.softplus(-ahead).masked_fill_(nothing, 0.0)).sum(dim=1)
    return sums.to(a.dtype)


def one_positive_backward(
    pairs: Pairs, negatives: Tensor, grad: Tensor, *, inside: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of negatives, anchors and candidates."""
    a, b = _scaled(pairs)
    to_a, to_b = torch.zeros_like(a), torch.zeros_like(b)
    to_negatives = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    for rows, columns, tile in _tiles(pairs, a, b):
        ahead = _ahead(tile, negatives[rows])
        share = torch.sigmoid(ahead)
        slope = share * (1 - share) if inside else (share - 1).masked_fill_(ahead.isneginf(), 0.0)
        slope.mul_(grad[rows, None])
        to_negatives[rows] -= slope.sum(dim=1)
        to_a[rows].addmm_(slope, b[columns])
        to_b[columns].addmm_(slope.T, a[rows])
    back = math.sqrt(pairs.scale)
    return to_negatives.to(a.dtype), to_a.mul_(back), to_b.mul_(back)


def _ahead(logits: Tensor, negatives: Tensor) -> Tensor:
    """How far a positive is ahead of all negatives together; -inf where there is no positive. Overwrites `logits`."""
    lowest = torch.finfo(negatives.dtype).min / 2  # no negatives: -inf would make NaN of -inf - -inf
    return logits.sub_(negatives.clamp(min=lowest)[:, None])


def _scaled(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Rows whose products are logits."""
    anchors = pairs.anchors.detach() * math.sqrt(pairs.scale)
    return anchors, anchors if pairs.candidates is None else pairs.candidates.detach() * math.sqrt(pairs.scale)


def _tiles(pairs: Pairs, a: Tensor, b: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Tiles of logits with what is not wanted at -inf; each is overwritten by the next. Symmetric: the upper half."""
    side = _side(a.device)
    buffer = torch.empty(min(side, len(a)) * min(side, len(b)), dtype=a.dtype, device=a.device)
    for top in range(0, len(a), side):
        rows = slice(top, min(top + side, len(a)))
        for left in range(top if pairs.symmetric else 0, len(b), side):
            columns = slice(left, min(left + side, len(b)))
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            tile = torch.mm(a[rows], b[columns].T, out=buffer[: shape[0] * shape[1]].view(shape))
            yield rows, columns, pairs.exclude(tile, rows, columns)


def _side(device: torch.device) -> int:
    if device.type != "cpu":
        return SIDE_ON_GPU
    return SIDE_ON_CPU if torch.get_num_threads() <= 4 else 2 * SIDE_ON_CPU
