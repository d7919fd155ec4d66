"""Sums over pairs of rows that are each one question: does the candidate belong to the anchor?

Letters: M anchors, N candidates.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.losses.tiled.cpu import tiles
from nearfar.losses.tiled.pairs import Pairs


def dense(pairs: Pairs, bias: Tensor) -> Tensor:
    """(M,): the sum over the candidates of -log sigmoid(logit + bias) for the one that is the
    anchor's own, of -log sigmoid(-logit - bias) for the others.
    """
    logits = pairs.anchors @ pairs.against.T + bias
    everything = slice(0, logits.shape[0]), slice(0, logits.shape[1])
    return -F.logsigmoid(torch.where(_own(pairs, logits, *everything), logits, -logits)).sum(dim=1)


def forward(pairs: Pairs, bias: Tensor) -> Tensor:
    """The same in tiles. Sums are accumulated in float64."""
    bias = bias.detach()
    sums = torch.zeros(len(pairs.anchors), dtype=torch.float64, device=pairs.anchors.device)
    for rows, columns, logits, _ in tiles(pairs):
        logits.add_(bias)
        right = torch.where(_own(pairs, logits, rows, columns), logits, -logits)
        sums[rows] -= F.logsigmoid(right).sum(dim=1)
    return sums.to(pairs.anchors.dtype)


def backward(pairs: Pairs, bias: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of bias, anchors and candidates."""
    a, b, bias = pairs.anchors.detach(), pairs.against.detach(), bias.detach()
    to_a, to_b = torch.zeros_like(a), torch.zeros_like(b)
    to_bias = torch.zeros((), dtype=torch.float64, device=a.device)
    for rows, columns, logits, _ in tiles(pairs):
        logits.add_(bias)
        own = _own(pairs, logits, rows, columns)
        slope = torch.where(own, -torch.sigmoid(-logits), torch.sigmoid(logits))
        slope.mul_(grad[rows, None])
        to_bias += slope.sum(dtype=torch.float64)
        to_a[rows].addmm_(slope, b[columns])
        to_b[columns].addmm_(slope.T, a[rows])
    return to_bias.to(bias.dtype), to_a, to_b


def _own(pairs: Pairs, logits: Tensor, rows: slice, columns: slice) -> Tensor:
    own = pairs.is_own(rows, columns)
    return torch.zeros_like(logits, dtype=torch.bool) if own is None else own
