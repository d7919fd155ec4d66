"""Losses with a margin on distances between rows: the contrastive loss of pairs, and triplets.

Rows are brought to length 1 here, so distances lie in [0, 2]; a row of zeros stays in the middle,
at distance 1 from the others. Memory is rows of this rank x rows of all ranks.

A squared distance is 2 - 2 z_i.z_j, of which little is left where rows are close: where its root is
taken, differences of the rows take its place below a squared distance of `CLOSE`, or float64 where
many pairs are so close (a batch that has collapsed). So the push between close negatives is right
to the digits of the rows themselves (float32: relative error of the gradient .02 % at distance
1e-4, .2 % at 1e-5; 70 % without). Under torch.compile, where no value is looked at, it is not.

Letters: V views, B samples, M rows of this rank, N of all, D projection width, K close pairs.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.errors import NothingToCompareError
from nearfar.core.ranks import Group, all_sum
from nearfar.losses.checks import check_positive, check_views, check_word
from nearfar.losses.choices import Mining
from nearfar.losses.labels import Labels, taken_labels
from nearfar.losses.precision import full_precision
from nearfar.losses.rows import Rows, gather_rows, mean_over, unit_rows

CLOSE = 1e-3  # at which 2 - 2 z.z and its gradient are right to .02 % in float32
MANY = 1 / 16  # close pairs among all, from which float64 is faster than differences
AT_A_TIME = 16384  # close pairs whose differences are held at once


def margin_contrastive(
    z: Float[Tensor, "view batch dim"],
    labels: Labels,
    *,
    margin: float = 1.0,
    group: Group = None,
) -> Float[Tensor, ""]:
    """The contrastive loss on pairs: equals come together, others are pushed to the margin. In [0,
    max(2, margin²/2)].

    Hadsell, Chopra & LeCun 2006 (CVPR; the equation from a secondary source), as a mean over the
    pairs i < j of D²/2 for rows of one class and max(0, margin - D)²/2 for others, D = |z_i - z_j|.
    A label of -1 makes the sample its own class. At D = 0, where the distance has no slope, rows of
    different classes get no gradient.

    Raises ValueError: wrong rank or length, labels that are no integers, a margin that is not
    positive, a row that is not finite, or a single row on all ranks.
    """
    check_views(z)
    labels = taken_labels(labels, z.shape[1], z.device)
    check_positive(margin=margin)
    with full_precision(z):
        rows = gather_rows(unit_rows(z, group=group), labels, group, temperature=1.0)
        positive, negative = _masks(rows)
        squares = _squared_distances(rows)
        apart = F.relu(margin - _distances(rows, squares, negative)).square()
        terms = torch.where(positive, squares, torch.where(negative, apart, 0.0)) / 2
        return mean_over(
            terms, positive | negative, group, nothing="z: want at least two rows, got one"
        )


def triplet(
    z: Float[Tensor, "view batch dim"],
    labels: Labels,
    *,
    margin: float | None = 0.2,
    mining: Mining = "all",
    squared: bool = True,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Triplet loss: a positive shall be nearer to its anchor than a negative, by the margin. In [0,
    4 + margin].

    Schroff et al. 2015 (FaceNet), arXiv:1503.03832, the equation from a secondary source: [d_ap -
    d_an + margin]+ with d the squared distance of unit rows (`squared` False: the distance), margin
    .2. `mining` says over which triplets the mean goes: "all": every anchor, positive and negative,
    zeros included. By sorting each anchor's distances, in time
        O(N² log N) and memory O(N²), not N³.
    "semi_hard": for each anchor and positive the nearest negative that is farther than the
    positive, else the farthest
        negative there is (tensorflow-addons' rule).
    "hard": for each anchor its farthest positive and nearest negative (batch hard, Hermans et al.
    2017,
        arXiv:1703.07737). `margin` None is their soft margin, log(1 + exp(d_ap - d_an)), also for
        "semi_hard".

    A label of -1 makes the sample its own class. Anchors without a positive or without a negative
    are left out. Raises ValueError: wrong rank or length, labels that are no integers, a negative
    margin, None with "all", an unknown word, a row that is not finite, or no triplet on any rank.
    """
    check_views(z)
    labels = taken_labels(labels, z.shape[1], z.device)
    check_word("mining", mining, Mining)
    if margin is not None and not 0 <= margin < float("inf"):
        raise ValueError(f"margin: want at least 0, got {margin}")
    if margin is None and mining == "all":
        raise ValueError('margin: want a number with mining="all", got None (a soft margin)')
    with full_precision(z):
        rows = gather_rows(unit_rows(z, group=group), labels, group, temperature=1.0)
        positive, negative = _masks(rows)
        distances = _squared_distances(rows)
        distances = distances if squared else _distances(rows, distances, positive | negative)
        valid = positive.any(dim=1) & negative.any(dim=1)
        nothing = "labels: want a class with two rows and another class, got no triplet"
        if mining == "hard":
            farthest = distances.masked_fill(~positive, -1.0).amax(dim=1)
            nearest = distances.masked_fill(~negative, torch.inf).amin(dim=1)
            ahead = torch.where(valid, farthest - nearest, 0.0)
            return mean_over(_hinge(ahead, margin), valid, group, nothing=nothing)
        if mining == "semi_hard":
            counted = positive & valid[:, None]
            ahead = torch.where(counted, distances - _semi_hard(distances, negative), 0.0)
            return mean_over(_hinge(ahead, margin), counted, group, nothing=nothing)
        assert margin is not None
        return _all_triplets(distances, positive, negative, margin, group, nothing)


def _hinge(ahead: Tensor, margin: float | None) -> Tensor:
    return -F.logsigmoid(-ahead) if margin is None else F.relu(ahead + margin)


def _semi_hard(distances: Tensor, negative: Tensor) -> Tensor:
    """(M, N): for an anchor and any row, the distance of the nearest negative beyond that row, else
    of the farthest.
    """
    with torch.no_grad():
        ordered, order = distances.masked_fill(~negative, torch.inf).sort(dim=1)
        beyond = torch.searchsorted(ordered, distances.contiguous(), right=True)
        last = negative.sum(dim=1, keepdim=True) - 1
        chosen = order.gather(1, torch.minimum(beyond, last.clamp(min=0)))
    return distances.gather(1, chosen)


def _all_triplets(
    distances: Tensor, positive: Tensor, negative: Tensor, margin: float, group: Group, nothing: str
) -> Tensor:
    """The mean over all triplets. A triplet costs d_ap + margin - d_an if that is positive, so its
    sum is one of distances, each times the number of triplets at cost in which it stands; both
    counts make the same comparison.
    """
    with torch.no_grad():
        reach = (distances + margin).masked_fill(~positive, -torch.inf)
        walls = distances.masked_fill(~negative, torch.inf)
        # negatives nearer
        inside = torch.searchsorted(walls.sort(dim=1).values, reach.contiguous()) * positive
        below = torch.searchsorted(reach.sort(dim=1).values, walls.contiguous(), right=True)
        outside = (reach.shape[1] - below) * negative  # positives that reach beyond a negative
        triplets = (positive.sum(dim=1) * negative.sum(dim=1)).sum()
    exact = distances.double()
    cost = (inside * (exact + margin)).sum() - (outside * exact).sum()
    count = all_sum(triplets, group)
    if not torch.compiler.is_compiling() and int(count) == 0:
        raise NothingToCompareError(nothing)
    return (all_sum(cost, group) / count).to(distances.dtype)


def _masks(rows: Rows) -> tuple[Tensor, Tensor]:
    """(M, N) which pairs are positives, and which negatives; a row itself is neither."""
    same = rows.classes[:, None] == rows.candidate_classes
    return same.scatter(1, rows.own[:, None], False), ~same


def _squared_distances(rows: Rows) -> Tensor:
    """(M, N) |z_i - z_j|² of rows of length 1 or 0, at least 0."""
    # 2 but for rows of zeros
    lengths = rows.anchors.square().sum(dim=1)[:, None] + rows.candidates.square().sum(dim=1)
    return (lengths.detach() - 2 * rows.anchors @ rows.candidates.T).clamp(min=0.0)


def _distances(rows: Rows, squares: Tensor, wanted: Tensor) -> Tensor:
    """(M, N) the distances, of the wanted pairs exact where they are close."""
    if torch.compiler.is_compiling():
        return _root(squares)
    i, j = ((squares < CLOSE) & wanted).nonzero(as_tuple=True)
    if len(i) > MANY * squares.numel():
        a, b = rows.anchors.double(), rows.candidates.double()
        # here the lengths' gradient counts: without it what is left is large and along the rows
        lengths = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
        squares = (lengths - 2 * a @ b.T).clamp(min=0.0).to(squares.dtype)
    elif len(i):
        # torch wants two tensors where they may be one
        anchors = rows.anchors.view_as(rows.anchors)
        exact = _OfDifferences.apply(anchors, rows.candidates, i, j)
        squares = squares.index_put((i, j), exact)
    return _root(squares)


class _OfDifferences(torch.autograd.Function):
    """(K,) |a_i - b_j|² for the pairs (i, j), the differences of some of them at a time."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, i, j)
        return torch.cat([(a[i[k]] - b[j[k]]).square().sum(dim=1) for k in _parts(len(i))])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, b, i, j = ctx.saved_tensors
        to_a, to_b = torch.zeros_like(a), torch.zeros_like(b)
        for k in _parts(len(i)):
            push = 2 * grad[k, None] * (a[i[k]] - b[j[k]])
            to_a, to_b = to_a.index_add(0, i[k], push), to_b.index_add(0, j[k], -push)
        return to_a, to_b, None, None


def _parts(count: int) -> list[slice]:
    return [slice(at, at + AT_A_TIME) for at in range(0, count, AT_A_TIME)]


def _root(squares: Tensor) -> Tensor:
    """The square root, with slope 0 where it is 0."""
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1.0).sqrt(), 0.0)
