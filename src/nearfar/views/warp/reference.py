"""Rendering in plain torch: one bilinear resampling of the level that fits, one colour matrix, normalise.

Outside the image its edge values go on, or all is black. A view's border pixels may mix in the image's pixels
just outside the crop, by less than one stored pixel: the crop is a window on the image, not a picture.

Nothing here depends on how many samples stand in a batch: no matrix product over the batch, no reduction
across samples, so a view is the same bits in a batch of 1 and of 64.

Letters: V views, B samples, S side of a view (px).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from nearfar.core.types import StoredImages
from nearfar.views.colour import GREY

# Stored pixels to a pixel of the view above which the next smaller level is read. Measured on 200 photographs
# of 128 px, stored at 64 (Pillow's antialiased bilinear) and viewed at 32, against an antialiased resize of
# the crop from the photograph: RMSE in grey levels, median ratio of edge energy
#     shrink   1.0       1.25      1.5       1.7       1.8       1.9       1.95      2.0
#     stored   4.8 .75   3.1 .87   1.9 .96   3.4 1.20  4.0 1.26  4.7 1.33  5.0 1.36  3.3 1.26
#     half     14.6 .31  12.7 .38  11.2 .44  8.6 .56   7.8 .60   6.8 .65   6.3 .67   0.3 1.00
# A blend of both (weight of half: shrink - 1.5) would stay under 2.5 at twice the reads.
SHRINK = 1.95
Outside = Literal["edge", "black"]
_CHUNK_BYTES = 4 * 2**20  # of float pixels at once, on a CPU: they stay in its cache


def render(
    stored: StoredImages,
    warp: Float[Tensor, "view batch 2 3"],
    colour: Float[Tensor, "view batch 3 4"] | None,
    *,
    size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    outside: Outside = "edge",
) -> Float[Tensor, "view batch 3 {size} {size}"]:
    """Views of side `size`: (value in [0, 1] - mean) / std for each channel. Contiguous, channels first."""
    views = torch.empty(*warp.shape[:2], 3, size, size, device=warp.device)
    for v, level in enumerate(levels(warp, side=stored.images.shape[1], size=size)):
        for number in sorted(set(level.tolist())):
            for rows in _chunks(torch.nonzero(level == number)[:, 0], side=stored.images.shape[1] >> number):
                pixels = resample(_read(stored, rows, level=number), warp[v, rows], size=size, outside=outside)
                if colour is not None:
                    pixels = recolour(pixels, colour[v, rows])
                for c, channel in enumerate(pixels.unbind(1)):
                    channel.sub_(255 * mean[c]).mul_(1 / (255 * std[c]))
                views[v].index_copy_(0, rows, pixels)
    return views


def levels(warp: Float[Tensor, "*shape 2 3"], *, side: int, size: int) -> Int64[Tensor, "*shape"]:
    """Which level each warp reads: 0 the stored square, 1 its half, and so on by halves."""
    a, b, c, d = warp[..., :2].flatten(-2).unbind(-1)
    shrink = (a * d - b * c).abs().sqrt() * (side / size)
    return torch.ceil(torch.log2(shrink / SHRINK)).clamp(min=0).to(torch.int64)


def resample(
    pixels: Float[Tensor, "batch 3 side side"],
    warp: Float[Tensor, "batch 2 3"],
    *,
    size: int,
    outside: Outside = "edge",
) -> Float[Tensor, "batch 3 {size} {size}"]:
    """Bilinear, each output pixel at its centre."""
    at = (2 * torch.arange(size, device=warp.device) + 1) / size - 1
    m = warp[..., None, None]
    grid = torch.stack([m[:, i, 0] * at + m[:, i, 1] * at[:, None] + m[:, i, 2] for i in (0, 1)], -1)
    padding = {"edge": "border", "black": "zeros"}[outside]
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def recolour(
    pixels: Float[Tensor, "batch 3 size size"], colour: Float[Tensor, "batch 3 4"]
) -> Float[Tensor, "batch 3 size size"]:
    """Each pixel (r, g, b, m) times its view's matrix, m being the view's mean grey; clipped to [0, 255]."""
    r, g, b = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
    grey = (GREY[0] * r).add_(g, alpha=GREY[1]).add_(b, alpha=GREY[2])
    m = colour[..., None, None]
    # In two steps: torch splits the sum of a single large view over its threads, which moves the last bits.
    pivot = m[:, :, 3] * grey.mean(3, keepdim=True).mean(2, keepdim=True)
    mixed = (m[:, :, 0] * r).addcmul_(m[:, :, 1], g).addcmul_(m[:, :, 2], b)
    return mixed.add_(pivot).clamp_(0, 255)


def _chunks(rows: Int64[Tensor, " rows"], *, side: int) -> list[Int64[Tensor, " some"]]:
    step = max(1, _CHUNK_BYTES // (12 * max(1, side) ** 2)) if rows.device.type == "cpu" else len(rows)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _read(
    stored: StoredImages, rows: Int64[Tensor, " rows"], *, level: int
) -> Float[Tensor, "rows 3 side side"]:
    """Those rows of that level, as floats in [0, 255], channels first."""
    source: UInt8[Tensor, "batch side side 3"] = stored.half if level else stored.images
    pixels = source.index_select(0, rows).permute(0, 3, 1, 2)
    pixels = pixels.to(torch.float32, memory_format=torch.contiguous_format)
    for _ in range(level - 1):  # only where a view is far smaller than the store was made for
        pixels = F.avg_pool2d(pixels, 2, ceil_mode=True) if pixels.shape[-1] > 1 else pixels
    return pixels
