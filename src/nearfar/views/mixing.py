"""Views that are part of one image and part of another, with the share of the first: mixup and
CutMix.

Each view of each image is mixed with the same view of its neighbor in the batch, by numbers of its
own. Letters: V views, B samples.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from scipy.special import betaincinv
from torch import Tensor

NUMBERS = 5  # in [0, 1) that a view is mixed by


class Mixed(NamedTuple):
    views: Float[Tensor, "view batch channel height width"]
    share: Float[Tensor, "view batch"]  # of the image itself
    partner: Int64[Tensor, " batch"]  # whose the rest is


def mix(
    views: Float[Tensor, "view batch channel height width"],
    numbers: Float[Tensor, "5 view batch"],
    *,
    mixup: float,
    cutmix: float,
    probability: float = 1.0,
) -> Mixed:
    """Each view with `probability` mixed with its partner's, by mixup or CutMix with these alphas
    (0: not by this one).

    Zhang et al. 2018, arXiv:1710.09412: the share is drawn from Beta(alpha, alpha). Yun et al.
    2019, arXiv:1905.04899: a rectangle of that share's area, its center uniform, clipped at the
    border, and the share taken anew. Both given: either, equally likely. Their code draws once a
    batch; here each view draws, and partners are neighbors, so that a view depends on no other
    part of its batch. The last image of an odd batch stays as it is.
    """
    happens, which, *drawn = numbers.to(views.dtype)
    partner = torch.arange(views.shape[1], device=views.device) ^ 1
    partner = torch.where(partner < views.shape[1], partner, partner ^ 1)
    other = views[:, partner]
    by_cutting = (
        (which < 0.5)
        if mixup and cutmix
        else torch.full_like(which, bool(cutmix), dtype=torch.bool)
    )
    mixed, share = views, torch.ones_like(which)
    if mixup:
        share = _beta(mixup, drawn[0])
        at = share[..., None, None, None]
        mixed = at * views + (1 - at) * other
    if cutmix:
        inside, left = _rectangles(_beta(cutmix, drawn[0]), drawn[1], drawn[2], views.shape[-2:])
        mixed = torch.where(
            by_cutting[..., None, None, None], torch.where(inside, other, views), mixed
        )
        share = torch.where(by_cutting, left, share)
    happens = (happens < probability) & (partner != torch.arange(len(partner), device=views.device))
    return Mixed(
        torch.where(happens[..., None, None, None], mixed, views),
        torch.where(happens, share, 1.0),
        partner,
    )


def _beta(alpha: float, u: Tensor) -> Tensor:
    """Numbers of [0, 1) spread as Beta(alpha, alpha), through its inverse distribution."""
    return torch.from_numpy(betaincinv(alpha, alpha, u.double().cpu().numpy())).to(u)


def _rectangles(share: Tensor, x: Tensor, y: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """(V, B, 1, H, W) what lies inside, and the share (V, B) of the pixels outside."""
    height, width = size
    masks, parts = [], []
    for extent, center in ((height, y), (width, x)):
        half = (extent * (1 - share).sqrt()).long() // 2
        middle = (extent * center).long()
        low, high = (middle - half).clamp(min=0), (middle + half).clamp(max=extent)
        at = torch.arange(extent, device=share.device)
        masks.append((at >= low[..., None]) & (at < high[..., None]))
        parts.append((high - low).to(share.dtype) / extent)
    inside = masks[0][..., :, None] & masks[1][..., None, :]
    return inside[:, :, None], 1 - parts[0] * parts[1]
