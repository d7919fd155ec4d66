"""Rendering in plain torch: one bilinear resampling of the level that fits, one colour matrix, normalise.

Outside the image its edge values go on. A view's border pixels may mix in the image's pixels just outside the
crop, by less than one stored pixel: the crop is a window on the image, not a picture of its own.

Nothing here depends on how many samples stand in a batch: no matrix product over the batch, no reduction
across samples, so a view is the same bits in a batch of 1 and of 64.

Letters: V views, B samples, S side of a view (px).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from nearfar.core.types import StoredImages
from nearfar.views.colour import GREY

SHRINK = 1.4  # stored pixels to a pixel of the view, above which the next smaller level is read
_CHUNK_BYTES = 8 * 2**20  # of float pixels at once, on a CPU: stays near the cache


def render(
    stored: StoredImages,
    warp: Float[Tensor, "view batch 2 3"],
    colour: Float[Tensor, "view batch 3 4"] | None,
    *,
    size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[Tensor, "view batch 3 {size} {size}"]:
    """Views of side `size`: (value in [0, 1] - mean) / std for each channel. Contiguous, channels first."""
    views = torch.empty(*warp.shape[:2], 3, size, size, device=warp.device)
    for v, view in enumerate(views):
        resample(stored, warp[v], out=view)
        if colour is not None:
            _recolour(view, colour[v])
        for c, channel in enumerate(view.unbind(1)):
            channel.sub_(255 * mean[c]).mul_(1 / (255 * std[c]))
    return views


def levels(warp: Float[Tensor, "batch 2 3"], *, side: int, size: int) -> Int64[Tensor, " batch"]:
    """Which level each warp reads: 0 the stored square, 1 its half, and so on by halves."""
    a, b, c, d = warp[:, :, :2].flatten(1).T
    shrink = (a * d - b * c).abs().sqrt() * (side / size)
    return torch.ceil(torch.log2(shrink / SHRINK)).clamp(min=0).to(torch.int64)


def resample(
    stored: StoredImages, warp: Float[Tensor, "batch 2 3"], *, out: Float[Tensor, "batch 3 size size"]
) -> None:
    """Fill `out` with values in [0, 255], bilinear from the level that each warp needs."""
    level = levels(warp, side=stored.images.shape[1], size=out.shape[-1])
    for number in level.unique().tolist():
        rows = torch.nonzero(level == number)[:, 0]
        source = stored.images if number == 0 else stored.half
        step = max(1, _CHUNK_BYTES // (12 * source.shape[1] ** 2)) if warp.device.type == "cpu" else len(rows)
        for some in rows.split(step):
            pixels = _as_float(source[some], halvings=max(0, number - 1))
            grid = _grid(warp[some], out.shape[-1])
            out[some] = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _as_float(images: UInt8[Tensor, "batch side side 3"], *, halvings: int) -> Float[Tensor, "batch 3 small small"]:
    pixels = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    for _ in range(halvings):  # only where a view is far smaller than the store was made for
        pixels = F.avg_pool2d(pixels, 2, ceil_mode=True) if pixels.shape[-1] > 1 else pixels
    return pixels


def _grid(warp: Float[Tensor, "batch 2 3"], size: int) -> Float[Tensor, "batch size size 2"]:
    at = (2 * torch.arange(size, device=warp.device) + 1) / size - 1
    m = warp[..., None, None]
    return torch.stack([m[:, i, 0] * at + m[:, i, 1] * at[:, None] + m[:, i, 2] for i in (0, 1)], -1)


def _recolour(view: Float[Tensor, "batch 3 size size"], colour: Float[Tensor, "batch 3 4"]) -> None:
    r, g, b = view.unbind(1)
    grey = GREY[0] * r + GREY[1] * g + GREY[2] * b
    m = colour[..., None, None]
    pivot = m[:, :, 3] * grey.mean((1, 2))[:, None, None, None]
    mixed = m[:, :, 0] * r[:, None] + m[:, :, 1] * g[:, None] + m[:, :, 2] * b[:, None] + pivot
    view.copy_(mixed.clamp_(0, 255))
