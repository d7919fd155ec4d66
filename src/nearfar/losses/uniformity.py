"""How evenly rows cover the sphere.

Letters: V views, B samples, N samples of all ranks, D projection width.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.errors import NothingToCompareError
from nearfar.core.ranks import Group, all_max, all_sum
from nearfar.losses.checks import check_positive, check_views
from nearfar.losses.precision import full_precision
from nearfar.losses.rows import gather_rows, unit_rows


def uniformity(
    z: Float[Tensor, "view batch dim"], *, sharpness: float = 2.0, group: Group = None
) -> Float[Tensor, ""]:
    """The log of the mean Gaussian potential of pairs of samples, averaged over views. In [-4
    sharpness, 0], nats.

    Wang & Isola 2020, arXiv:2005.10242: log of the mean over i < j of exp(-sharpness |z_i - z_j|²),
    sharpness 2; 0 is total collapse, uniform on the sphere is -1.5750 in 2 dimensions and -3.9375
    in 128. Rows are brought to length 1 here; a row of zeros stays in the middle, so that rows
    which are all zeros have collapsed too. Time O(N² D), memory O(N D).

    Raises ValueError: wrong rank, a single sample on all ranks, a sharpness that is not positive, a
    row not finite.
    """
    check_views(z)
    check_positive(sharpness=sharpness)
    with full_precision(z):
        return torch.stack(
            [_of_one_view(view[None], sharpness, group) for view in unit_rows(z, group=group)]
        ).mean()


def _of_one_view(unit: Tensor, sharpness: float, group: Group) -> Tensor:
    rows = gather_rows(unit, None, group, temperature=1 / (2 * sharpness))
    if rows.samples < 2:
        raise NothingToCompareError("z: want at least two samples, got one: no pair exists")
    # |x - y|² = 2 - 2 x.y, so the potential is a log-sum-exp over the others at temperature 1 / (2
    # sharpness)
    each, _ = rows.statistics("others")
    shift = all_max(each.detach().amax(), group)
    total = shift + all_sum((each - shift).exp().sum(), group).log()
    # ... except that the distance is 1 from a row of zeros to others, and 0 between two of them
    zeros = all_sum((rows.anchors.detach().square().sum(dim=1) == 0).sum(), group).to(total.dtype)
    both = (zeros * (zeros - 1) * -math.expm1(-2 * sharpness)).log() + 2 * sharpness
    one = (zeros * (rows.samples - zeros) * -2 * math.expm1(-sharpness)).log() + sharpness
    total = torch.stack([total, both, one]).logsumexp(dim=0)
    return total - 2 * sharpness - math.log(rows.samples * (rows.samples - 1))
