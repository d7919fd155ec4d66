"""The loss of counts that add up."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.errors import NothingToCompareError
from nearfar.core.ranks import Group, gather, placement
from nearfar.losses.checks import check_finite, check_positive, check_views
from nearfar.losses.precision import at_least_float32, full_precision
from nearfar.losses.rows import mean_over


def counting(
    whole: Float[Tensor, "view batch count"],
    parts: Float[Tensor, "part view batch count"],
    *,
    margin: float = 10.0,
    group: Group = None,
) -> Float[Tensor, ""]:
    """The counts of an image's parts add up to its own, and not to another's. In [0, inf); no
    counts cost `margin`.

    Noroozi et al. 2017, arXiv:1708.06734: |w - sum_j p_j|^2 + max(0, margin - |w' - sum_j p_j|^2),
    the margin on the squared distance over all counts, as a mean over images; w' are the counts of
    the next image of the whole batch (the first follows the last).

    Raises NothingToCompareError: a single image on all ranks. ValueError: shapes that do not fit, a
    margin that is not positive, a count that is not finite.
    """
    check_positive(margin=margin)
    check_views(whole, name="whole")
    if parts.ndim != 4 or parts.shape[1:] != whole.shape:
        raise ValueError(
            f"parts: want (parts, *{tuple(whole.shape)}), got shape {tuple(parts.shape)}"
        )
    of = placement(whole.shape[1], group, whole.device)
    if of.total < 2:
        raise NothingToCompareError(
            "want at least two images, got one: no other is there to be counted apart from"
        )
    with full_precision(whole):
        whole, total = at_least_float32(whole), at_least_float32(parts).sum(dim=0)
        check_finite((whole.detach() + total.detach()).square().sum(dim=-1), "counts", group)
        next_one = gather(whole, of, group, dim=1).roll(-1, dims=1)[:, of.start : of.stop]
        own = (whole - total).square().sum(dim=-1)
        other = (next_one - total).square().sum(dim=-1)
        return mean_over(own + F.relu(margin - other), None, group)
