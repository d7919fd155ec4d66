"""Tiles cut out of finished views, and what closes their shortcuts: what a pretext task is posed
with.

A network tells how tiles lay from what says nothing of the picture: edges that go on from tile to
tile, the fringes of a lens, which part red from green towards the border, a tile's brightness, the
traces of a resampling. Tiles here lie apart and stray, channels may be cut apart, colors taken
out, each tile normalized by itself.

Letters: V views, B samples, T tiles of a view, C channels, S side of a view, s side of a tile (px).
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.types import DataFacts

GREEN_MAGENTA = (-1.0, 2.0, -1.0)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SHRINKING = (
    ("nearest-exact", False),
    ("area", False),
    ("bicubic", False),
    ("bilinear", True),
    ("bicubic", True),
)
FLAT = 0.05  # of the data's own deviation: a tile that varies by less is not blown up to noise


def cut(
    views: Float[Tensor, "view batch channel size size"],
    top: Int64[Tensor, "#view #batch tile #channel"],
    left: Int64[Tensor, "#view #batch tile #channel"],
    side: int,
) -> Float[Tensor, "tile view batch channel {side} {side}"]:
    """The tile of `side` px whose first pixel is at each (top, left), which may differ between
    channels.
    """
    v, b, c = (torch.arange(n, device=views.device) for n in views.shape[:3])
    windows = views.unfold(-2, side, 1).unfold(-2, side, 1)  # (V, B, C, S - s + 1, S - s + 1, s, s)
    return windows[v[:, None, None, None], b[:, None, None], c, top, left].movedim(2, 0)


def grid_places(
    uniform: Float[Tensor, "*lead"], at: Int64[Tensor, "*#lead"], cell: int, side: int
) -> Int64[Tensor, "*lead"]:
    """Where a tile of `side` px begins in cell number `at` of a row of cells, anywhere in it by a
    number in [0, 1).
    """
    return at * cell + (uniform * (cell - side + 1)).to(torch.int64)


def without_green_magenta(
    views: Float[Tensor, "view batch 3 height width"], data: DataFacts
) -> Float[Tensor, "view batch 3 height width"]:
    """Colors less their part along green - magenta, in which lenses part colors: x (I - a^T a /
    6), a = (-1, 2, -1).

    Doersch et al. 2015, arXiv:1505.05192. Grays stay as they are.
    """
    a = views.new_tensor(GREEN_MAGENTA)
    return _in_rgb(
        views, torch.eye(3, dtype=views.dtype, device=views.device) - torch.outer(a, a) / 6, data
    )


def grayed(
    views: Float[Tensor, "view batch 3 height width"], data: DataFacts
) -> Float[Tensor, "view batch 3 height width"]:
    """Three equal channels: the luma."""
    return _in_rgb(views, views.new_tensor(LUMA).expand(3, 3), data)


def _in_rgb(views: Tensor, matrix: Tensor, data: DataFacts) -> Tensor:
    """A matrix on colors in [0, 1], for values that are normalized by the data's mean and
    deviation.
    """
    mean, std = (views.new_tensor(x) for x in (data.mean, data.std))
    shift = (matrix @ mean - mean) / std
    return (
        torch.einsum("ij,vbjhw->vbihw", matrix * std / std[:, None], views) + shift[:, None, None]
    )


def standardized(tiles: Float[Tensor, "*lead height width"]) -> Float[Tensor, "*lead height width"]:
    """Each channel of each tile less its mean, by its deviation: no brightness tells where it was.
    A flat one is 0.
    """
    centered = tiles - tiles.mean(dim=(-2, -1), keepdim=True)
    deviation = centered.square().mean(dim=(-2, -1), keepdim=True).sqrt()
    return centered / deviation.clamp(min=FLAT)


def resampled(
    images: Float[Tensor, "*lead channel size size"],
    bank: Float[Tensor, "kind out size"],
    kind: Int64[Tensor, "*#lead"],
) -> Float[Tensor, "*lead channel out out"]:
    """Each image by its own resampling of the bank, along both axes."""
    matrix = bank.to(images)[kind].unsqueeze(-3)
    return matrix @ images @ matrix.mT


def shrinkings(side: int, out: int) -> Float[Tensor, "kind {out} {side}"]:
    """Five ways to shrink a row of `side` values to `out`: nearest, area, bicubic, and the smooth
    bilinear and bicubic.

    (Bilinear without smoothing is area where a side is halved.)
    """
    return torch.stack([_matrix(side, out, mode, smooth) for mode, smooth in SHRINKING])


def coarsenings(side: int, least: int) -> Float[Tensor, "kind {side} {side}"]:
    """Shrink a row of `side` values to each length from `least` on and enlarge it again: the last
    changes nothing.
    """
    back = [
        _matrix(n, side, "bilinear", smooth=False) @ _matrix(side, n, "bilinear", smooth=True)
        for n in range(least, side)
    ]
    return torch.stack([*back, torch.eye(side)])


def _matrix(side: int, out: int, mode: str, smooth: bool) -> Float[Tensor, "{out} {side}"]:
    """The resampling of a row as a matrix: what it makes of each unit row."""
    rows = torch.eye(side)[:, None, None, :].expand(-1, 1, side, -1)
    more = {"antialias": True} if smooth else {}
    return F.interpolate(rows, size=(side, out), mode=mode, **more)[:, 0, 0].T.contiguous()
