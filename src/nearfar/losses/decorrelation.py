"""Losses that keep dimensions apart instead of samples: no negatives, no target.

Letters: V views, B samples, N samples of all ranks, D projection width.
"""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.ranks import Group, all_sum
from nearfar.losses.checks import check_finite, check_positive, check_views
from nearfar.losses.precision import at_least_float32, full_precision
from nearfar.losses.rows import mean_over

SMALL_VARIANCE_REDUNDANCY = 1e-5  # added under the root, as BatchNorm does
SMALL_VARIANCE_VICREG = 1e-4


def redundancy(
    z: Float[Tensor, "view batch dim"], *, off_diagonal_weight: float = 0.0051, group: Group = None
) -> Float[Tensor, ""]:
    """Each dimension agrees with itself in the other view and with no other dimension. In [0, inf);
    D is collapse.

    Zbontar et al. 2021 (Barlow Twins), arXiv:2103.03230, eq. 1 and 2, as a mean over pairs of
    views: with C the correlation of the dimensions of two views over the samples, sum_i (1 -
    C_ii)^2 + weight sum_{i != j} C_ij^2. Variances are over N, with 1e-5 under their root. Scale
    and shift of a dimension change nothing.

    Raises ValueError: wrong rank, a single view, a single sample on all ranks, a weight that is not
    positive, a row that is not finite.
    """
    check_positive(off_diagonal_weight=off_diagonal_weight)
    with full_precision(z):
        centered, samples = _centered(z, group)
        variance = all_sum(centered.square().sum(dim=1, keepdim=True), group) / samples
        unit = centered * (variance + SMALL_VARIANCE_REDUNDANCY).rsqrt()
        terms = []
        for v, w in combinations(range(len(z)), 2):
            correlation = all_sum(unit[v].T @ unit[w], group) / samples
            on = (1 - correlation.diagonal()).square().sum()
            off = correlation.square().sum() - correlation.diagonal().square().sum()
            terms.append(on + off_diagonal_weight * off)
        return torch.stack(terms).mean()


def variance_covariance(
    z: Float[Tensor, "view batch dim"],
    *,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Views agree, each dimension varies by 1 at least, and dimensions do not vary together. In [0,
    inf).

    Bardes et al. 2021 (VICReg), arXiv:2105.04906, as their public code weighs it: the mean over
    pairs of views of the mean squared difference, the mean over views and dimensions of max(0, 1 -
    sqrt(var + 1e-4)), and twice the mean over views of sum_{i != j} cov_ij^2 / D (for two views the
    sum; the paper's equation has the second term twice as large). Variances and covariances are
    over N - 1. Equal rows cost .99 times the second weight.

    Raises ValueError: wrong rank, a single view, a single sample on all ranks, a weight that is not
    positive, a row that is not finite.
    """
    check_positive(
        invariance_weight=invariance_weight,
        variance_weight=variance_weight,
        covariance_weight=covariance_weight,
    )
    with full_precision(z):
        centered, samples = _centered(z, group)
        rows = at_least_float32(z)
        first, second = torch.triu_indices(len(z), len(z), 1, device=z.device)
        invariance = mean_over((rows[first] - rows[second]).square(), None, group)
        variance = all_sum(centered.square().sum(dim=1), group) / (samples - 1)  # (V, D)
        too_still = F.relu(1 - (variance + SMALL_VARIANCE_VICREG).sqrt()).mean()
        covariance = all_sum(centered.mT @ centered, group) / (samples - 1)  # (V, D, D)
        together = covariance.square().sum() - covariance.diagonal(dim1=1, dim2=2).square().sum()
        together = 2 * together / (len(z) * z.shape[2])
        return (
            invariance_weight * invariance
            + variance_weight * too_still
            + covariance_weight * together
        )


def _centered(z: Tensor, group: Group) -> tuple[Tensor, int]:
    """(V, B, D) less the mean of all ranks' samples, and how many samples these are."""
    check_views(z, fewest_views=2)
    rows = at_least_float32(z)
    check_finite(rows.detach().square().sum(dim=-1), "z", group)
    samples = int(all_sum(torch.tensor(z.shape[1], device=z.device), group))
    if samples < 2:
        raise ValueError("z: want at least two samples, got one: nothing varies")
    return rows - all_sum(rows.sum(dim=1, keepdim=True), group) / samples, samples
