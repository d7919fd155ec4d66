"""Losses that pull a prediction to its target.

Letters: V views, B samples, D projection width.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.ranks import Group
from nearfar.losses.checks import check_positive, check_views
from nearfar.losses.precision import full_precision
from nearfar.losses.rows import mean_over, unit_rows


def negative_cosine(
    prediction: Float[Tensor, "view batch dim"],
    target: Float[Tensor, "view batch dim"],
    *,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Each view's prediction looks like the target of every other view. In [-1, 1]; -1 is the best.

    Chen & He 2021 (SimSiam), arXiv:2011.10566, eq. 1 and 2: the mean over ordered pairs of views v
    != w of -cos(prediction_v, target_w), for two views its symmetric half-sum. BYOL's loss (Grill
    et al. 2020, arXiv:2006.07733, eq. 2) summed over both directions is 4 + 4 times this. No
    gradient reaches the target.

    Raises ValueError: wrong rank, a single view, shapes that differ, a row that is not finite.
    """
    check_views(prediction, name="prediction", fewest_views=2)
    check_views(target, name="target", fewest_views=2)
    if prediction.shape != target.shape:
        raise ValueError(
            f"target: want the prediction's shape {tuple(prediction.shape)}, got"
            f" {tuple(target.shape)}"
        )
    with full_precision(prediction):
        p = unit_rows(prediction, name="prediction", group=group)
        t = unit_rows(target.detach(), name="target", group=group)
        others = t.sum(dim=0) - t if len(t) > 2 else t.flip(0)
        return -mean_over((p * others).sum(dim=-1) / (len(t) - 1), None, group)


def alignment(
    z: Float[Tensor, "view batch dim"], *, exponent: float = 2.0, group: Group = None
) -> Float[Tensor, ""]:
    """How far apart the views of a sample lie: the mean of |z_v - z_w|^exponent over pairs. In [0,
    2^exponent].

    Wang & Isola 2020, arXiv:2005.10242 (exponent 2, unit rows). Rows are brought to length 1 here.

    Raises ValueError: wrong rank, a single view, an exponent that is not positive, a row that is
    not finite.
    """
    check_views(z, fewest_views=2)
    check_positive(exponent=exponent)
    with full_precision(z):
        unit = unit_rows(z, group=group)
        first, second = torch.triu_indices(len(z), len(z), 1, device=z.device)
        squares = (unit[first] - unit[second]).square().sum(dim=-1)
        if exponent == 2:
            return mean_over(squares, None, group)
        apart = squares > 0
        powers = torch.where(apart, torch.where(apart, squares, 1.0) ** (exponent / 2), 0.0)
        return mean_over(powers, None, group)
