"""Rendering in plain torch, stage by stage: what every kernel is compared with, and what runs where
none does.

Outside the image its edge values go on, or all is one gray (`params.WITHIN` says when that shows).
A view's border pixels may mix in the image's pixels just outside the crop, by less than one stored
pixel: the crop is a window on the image, not a picture.

Letters: V views, B samples, S side of a view (px), R rows: those views that a stage acts on.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.core.randomness import lowbias32
from nearfar.core.types import StoredImages
from nearfar.views import params as kind
from nearfar.views.kernels.blur import blur
from nearfar.views.params import ViewParams

Pixels = Float[Tensor, "rows 3 size size"]
Amounts = Float[Tensor, "rows 13"]
_GOLDEN = 0x9E3779B9


def render_reference(
    stored: StoredImages, params: ViewParams, level: Int64[np.ndarray, "view batch"], *, size: int
) -> Float[Tensor, "view batch 3 size size"]:
    """Values in [0, 255], on the device of the images."""
    device = stored.images.device
    warp = torch.from_numpy(params.warp).to(device)
    views = torch.empty(*level.shape, 3, size, size, device=device)
    for v, outside in enumerate(params.outside.tolist()):
        for number in np.unique(level[v]).tolist():
            rows = torch.from_numpy(np.flatnonzero(level[v] == number)).to(device)
            pixels = resample(
                read_level(stored, rows, number), warp[v, rows], size=size, outside=outside
            )
            views[v].index_copy_(0, rows, pixels)
    apply_stages(views, params)
    return views


def read_level(
    stored: StoredImages, rows: Int64[Tensor, " rows"], level: int
) -> Float[Tensor, "rows 3 side side"]:
    """Those rows of that level, as floats in [0, 255], channels first."""
    source = stored.half if level else stored.images
    pixels = source.index_select(0, rows).permute(0, 3, 1, 2)
    pixels = pixels.to(torch.float32, memory_format=torch.contiguous_format)
    for _ in range(level - 1):  # only where a view is far smaller than the store was made for
        pixels = F.avg_pool2d(pixels, 2, ceil_mode=True) if pixels.shape[-1] > 1 else pixels
    return pixels


def resample(
    pixels: Float[Tensor, "rows 3 side side"],
    warp: Float[Tensor, "rows 2 3"],
    *,
    size: int,
    outside: float,
) -> Pixels:
    """Bilinear, each pixel at its center."""
    at = (2 * torch.arange(size, device=warp.device) + 1) / size - 1
    m = warp[..., None, None]
    grid = torch.stack(
        [m[:, i, 0] * at + m[:, i, 1] * at[:, None] + m[:, i, 2] for i in (0, 1)], -1
    )
    if outside < 0:
        return F.grid_sample(
            pixels, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
    within = warp.abs().sum(-1) <= kind.WITHIN
    furthest = torch.where(within, 1 - 1 / pixels.shape[-1], torch.inf)[:, None, None]
    grid = grid.clamp(-furthest, furthest)
    seen = F.grid_sample(
        pixels - outside, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return seen + outside


def apply_stages(
    views: Float[Tensor, "view batch 3 size size"], params: ViewParams, *, but_first: bool = False
) -> None:
    """Each view's stages in their order, in place. `but_first`: without color where it stands
    first.
    """
    stage, amount = (
        params.stage.reshape(-1, params.stage.shape[2]),
        params.amount.reshape(-1, *params.amount.shape[2:]),
    )
    flat = views.view(-1, *views.shape[2:])
    for k in range(stage.shape[1]):
        for number in np.unique(stage[:, k]).tolist():
            if number == kind.NONE or (but_first and k == 0 and number == kind.COLOR):
                continue
            found = np.flatnonzero(stage[:, k] == number)
            rows = torch.from_numpy(found).to(views.device)
            amounts = torch.from_numpy(amount[found, k]).to(views.device)
            flat.index_copy_(0, rows, STAGES[number](flat.index_select(0, rows), amounts))


def _scalar(amounts: Amounts, number: int = 0) -> Float[Tensor, "rows 1 1 1"]:
    return amounts[:, number, None, None, None]


def _color(pixels: Pixels, amounts: Amounts) -> Pixels:
    gray = sum(weight * pixels[:, c] for c, weight in enumerate(kind.GRAY))
    assert isinstance(gray, Tensor)
    mean = gray.mean(2).mean(1)[:, None, None, None].expand_as(pixels[:, :1])
    of = amounts[:, :12].view(-1, 3, 4, 1, 1)
    mixed = (of * torch.cat([pixels, mean], 1)[:, None]).sum(2) + amounts[:, 12, None, None, None]
    return mixed.clamp(0, 255)


def _whole(pixels: Pixels) -> Pixels:
    return torch.floor(pixels + kind.HALF)


def _posterize(pixels: Pixels, amounts: Amounts) -> Pixels:
    step = 2 ** (8 - _scalar(amounts))
    return torch.floor(_whole(pixels) / step) * step


def _solarize(pixels: Pixels, amounts: Amounts) -> Pixels:
    x = _whole(pixels)
    return torch.where(x >= _scalar(amounts), 255 - x, x)


def _solarize_add(pixels: Pixels, amounts: Amounts) -> Pixels:
    x = _whole(pixels)
    return torch.where(x < _scalar(amounts, 1), torch.floor(x + _scalar(amounts)).clamp(max=255), x)


def _equalize(pixels: Pixels, _amounts: Amounts) -> Pixels:
    x = _whole(pixels).to(torch.int64).flatten(2)
    counts = torch.zeros(*x.shape[:2], 256, dtype=torch.int64, device=x.device)
    counts.scatter_add_(2, x, torch.ones_like(x))
    step = (x.shape[2] - counts.gather(2, x.amax(2, keepdim=True))) // 255
    table = ((counts.cumsum(2) - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step == 0, x, table.gather(2, x)).to(pixels.dtype).view_as(pixels)


def _autocontrast(pixels: Pixels, _amounts: Amounts) -> Pixels:
    x = _whole(pixels).to(torch.float64)
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    stretched = torch.floor((x - low) * 255 / (high - low).clamp(min=1) + 1e-6)
    return torch.where(high > low, stretched, x).to(pixels.dtype)


def _invert(pixels: Pixels, _amounts: Amounts) -> Pixels:
    return 255 - _whole(pixels)


def _sharpness(pixels: Pixels, amounts: Amounts) -> Pixels:
    weight = torch.ones(3, 1, 3, 3, device=pixels.device)
    weight[:, :, 1, 1] = 5
    if pixels.shape[-1] < 3:
        return pixels
    inner = pixels[:, :, 1:-1, 1:-1]
    smooth = F.conv2d(pixels, weight / 13, groups=3)
    out = pixels.clone()
    out[:, :, 1:-1, 1:-1] = (smooth + _scalar(amounts) * (inner - smooth)).clamp(0, 255)
    return out


def _blur(pixels: Pixels, amounts: Amounts) -> Pixels:
    radii = amounts[:, 1].cpu()
    out = torch.empty_like(pixels)
    for radius in sorted(set(radii.tolist())):
        rows = torch.nonzero(radii == radius)[:, 0].to(pixels.device)
        out[rows] = blur(pixels[rows], amounts[rows, 0], int(radius))
    return out


def _erase(pixels: Pixels, amounts: Amounts) -> Pixels:
    at = torch.arange(pixels.shape[-1], device=pixels.device)
    left, top, width, height = (amounts[:, i, None] for i in range(4))
    x = (at >= left) & (at < left + width)
    y = (at >= top) & (at < top + height)
    covered = (y[:, :, None] & x[:, None, :])[:, None]
    return torch.where(covered, amounts[:, 4:7, None, None], pixels)


def _noise(pixels: Pixels, amounts: Amounts) -> Pixels:
    key = (amounts[:, 1].to(torch.int64) << 16) + amounts[:, 2].to(torch.int64)
    number = torch.arange(pixels[0].numel(), device=pixels.device).view(pixels.shape[1:])
    u = [lowbias32(key[:, None, None, None] + (2 * number + i) * _GOLDEN) >> 8 for i in (1, 2)]
    radius = torch.sqrt(-2 * torch.log((u[0] + 1).to(torch.float64) * 2.0**-24))
    normal = radius * torch.cos(2 * math.pi * u[1].to(torch.float64) * 2.0**-24)
    return (pixels + _scalar(amounts) * normal.to(pixels.dtype)).clamp(0, 255)


STAGES: dict[int, Callable[[Tensor, Tensor], Tensor]] = {
    kind.COLOR: _color,
    kind.POSTERIZE: _posterize,
    kind.SOLARIZE: _solarize,
    kind.SOLARIZE_ADD: _solarize_add,
    kind.EQUALIZE: _equalize,
    kind.AUTOCONTRAST: _autocontrast,
    kind.INVERT: _invert,
    kind.SHARPNESS: _sharpness,
    kind.BLUR: _blur,
    kind.ERASE: _erase,
    kind.NOISE: _noise,
}
