"""The loss of colors: which of 313 bins of the ab plane a pixel lies in, rare ones counting more.

Zhang, Isola & Efros 2016, arXiv:1603.08511, and its public code. ab are the color coordinates of
CIE Lab.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from nearfar.core.ranks import Group, all_sum
from nearfar.losses.checks import check_finite
from nearfar.losses.precision import at_least_float32, full_precision

STEP = 10  # of the grid of bins, in units of Lab
# The bins of the published set: a, and from which b to which. They are not the gamut of sRGB, which
# fills 261 of them.
ROWS = (
    (-90, 50, 90),
    (-80, 20, 90),
    (-70, 0, 90),
    (-60, -20, 90),
    (-50, -30, 100),
    (-40, -40, 100),
    (-30, -50, 100),
    (-20, -50, 100),
    (-10, -60, 100),
    (0, -70, 100),
    (10, -80, 90),
    (20, -80, 90),
    (30, -90, 90),
    (40, -100, 90),
    (50, -100, 80),
    (60, -110, 80),
    (70, -110, 80),
    (80, -110, 70),
    (90, -110, 70),
    (100, -90, 0),
)
BINS = tuple((float(a), float(b)) for a, low, high in ROWS for b in range(low, high + STEP, STEP))
NEAREST, SIGMA = 10, 5.0  # of the soft code
UNIFORM_SHARE = 0.5


def soft_code(
    ab: Float[Tensor, "*pixel 2"], *, nearest: int = NEAREST, sigma: float = SIGMA
) -> tuple[Int64[Tensor, "*pixel {nearest}"], Float[Tensor, "*pixel {nearest}"]]:
    """The bins nearest to each color, the nearest first, and their shares: a Gaussian of the
    distance, of sum 1.
    """
    squared, bins = torch.cdist(ab, ab.new_tensor(BINS)).topk(nearest, dim=-1, largest=False)
    return bins, torch.softmax(-squared.square() / (2 * sigma**2), dim=-1)


def rebalancing(
    frequency: Float[Tensor, " bin"], *, uniform_share: float = UNIFORM_SHARE
) -> Float[Tensor, " bin"]:
    """A weight for each bin, 1 / ((1 - s) p + s / bins), brought to a mean of 1 over colors that
    are so frequent.
    """
    weights = 1 / ((1 - uniform_share) * frequency + uniform_share / len(frequency))
    return weights / (frequency * weights).sum()


def color_prediction(
    scores: Float[Tensor, "*pixel 313"],
    ab: Float[Tensor, "*pixel 2"],
    weights: Float[Tensor, " 313"],
    *,
    counted: Bool[Tensor, "*pixel"] | None = None,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the soft code of each pixel's color, by the weight of its nearest bin. In
    [0, inf), nats.

    The mean over the pixels that are `counted` (default: all) of all ranks: -w(k) sum_q c_q log
    softmax_q(scores), k the nearest bin. Equal scores cost log 313 times the mean weight; where no
    pixel is counted the loss is 0, and so is its gradient. The authors' code weighs the gradient
    alone, which is the same gradient.

    Raises ValueError: a score that is not finite.
    """
    with full_precision(scores):
        scores = at_least_float32(scores)
        check_finite(scores.detach().square().sum(dim=-1), "scores", group)
        bins, shares = soft_code(ab.to(scores.dtype))
        surprise = -(shares * scores.log_softmax(dim=-1).gather(-1, bins)).sum(dim=-1)
        terms = weights.to(scores.dtype)[bins[..., 0]] * surprise
        return mean_of_counted(terms, counted, group)


def mean_of_counted(
    terms: Float[Tensor, "*pixel"], counted: Bool[Tensor, "*pixel"] | None, group: Group = None
) -> Float[Tensor, ""]:
    """The mean of the counted terms (default: all) of all ranks, 0 where there is none."""
    counted = torch.ones_like(terms, dtype=torch.bool) if counted is None else counted
    total, count = torch.where(counted, terms, 0.0).sum(), counted.sum()
    return all_sum(total, group) / all_sum(count, group).clamp(min=1)
