"""Views on CUDA devices: warp, color, clip and normalize in one Triton kernel, bytes in, float32
out.

A program makes one view. It goes over the view's pixels in blocks, twice where there is color:
once for the mean gray that contrast needs, once to write. The second time it samples again instead
of reading back what it wrote, because a view's source is bytes that stay in the caches, while the
12 bytes a pixel of hundreds of programs at once do not. A view of up to 64 px is one block and is
sampled once: the compiler sees that both times are the same (a test reads it in the compiled code).

Bytes a view, with a store of twice the view's side: at most 12 S² read and 12 S² written, 24 KiB at
32 px and 1.2 MB at 224 px. At 3.35 TB/s (H100) 8,192 views of 32 px cannot take less than 60 µs,
nor 512 of 224 px less than 184 µs; views of one image share what they read in the L2 cache. The
taps are 12 loads of a byte a pixel each time: for the 8,192 views 3.1 million loads of a warp, for
the 512, sampled twice, 19 million. If each takes three cycles of an SM's load unit, that is about
40 and 250 µs. So small views should be bound by memory, large ones by the load units.

Blocks: four pixels a thread keep 1,024 pixels at 48 registers and fewer, so an SM holds five blocks
of 256 threads: all 512 programs of the large views at once (3.9 an SM), and of those of 32 px
enough to hide the latency of the taps. Views between 46 and 64 px have eight pixels a thread rather
than be sampled twice. Fewer programs than SMs leave some idle: this is not made for a few large
views. Channels-last views are written with a stride of 3, whose partial sectors the L2 cache joins.

Proven by Triton's interpreter at small sizes and compiled ahead of time, which says the registers.
Nothing has been measured on a GPU: times above are estimates, and blocks are chosen by them.

Letters: V views, B samples, S side of a view (px).
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from jaxtyping import Float, UInt8
from torch import Tensor

from nearfar.views.params import GRAY, SHRINK, WITHIN

# Stored pixels to a pixel of the view above which the next smaller level is read (see `reference`);
# weights of gray.
_SHRINK, _WITHIN, _RED, _GREEN, _BLUE = (tl.constexpr(number) for number in (SHRINK, WITHIN, *GRAY))
_LARGEST_WHOLE = 64 * 64  # pixels of a view that is one block
_BLOCK = 1024  # pixels at once of a larger one
_PIXELS_A_WARP, _MOST_WARPS = 128, 16


def warp_color(
    images: UInt8[Tensor, "batch side side 3"],
    half: UInt8[Tensor, "batch half half 3"],
    warp: Float[Tensor, "view batch 2 3"],
    color: Float[Tensor, "view batch 13"] | None,
    *,
    size: int,
    scale: tuple[float, float, float],
    shift: tuple[float, float, float],
    outside: float,
    channels_last: bool = False,
    deepest: int = 1,
) -> Float[Tensor, "view batch 3 {size} {size}"]:
    """Views of side `size`: value in [0, 255] times `scale` plus `shift`, for each channel.

    `warp` takes a point of the view to a point of the stored square, both in [-1, 1] from edge to
    edge. Outside the image stands the gray `outside` (`params.WITHIN`); where it is below 0, edge
    values go on. `color` is a 3×4 matrix, which (r, g, b, mean gray of the view) is multiplied by,
    and a number that is added to each channel, before clipping. Views lie contiguous, or with
    `channels_last` as the channels-last (V·B, 3, S, S).

    `deepest` is the deepest level that a warp needs (see `reference.levels`). It is the caller's to
    know, who made the warps on the CPU: here it would have to be fetched from the device. Warps
    that need a deeper level read this one.

    More parameters than elsewhere: a kernel's launch is flat.
    """
    views, batch = warp.shape[:2]
    if channels_last:
        out = torch.empty(views, batch, size, size, 3, device=warp.device).permute(0, 1, 4, 2, 3)
    else:
        out = torch.empty(views, batch, 3, size, size, device=warp.device)
    if out.numel() == 0:
        return out
    # the level of one pixel
    smallest = 1 + (half.shape[1] - 1).bit_length() if half.shape[1] else 0
    deepest = min(deepest, smallest)
    warp, color = warp.contiguous(), None if color is None else color.contiguous()
    fine, coarse = images.contiguous(), half.contiguous()
    for level in range(0, deepest + 1, 2):
        if level:
            fine = _halved(coarse)
            coarse = _halved(fine)
        _warp_color_kernel[(batch, views)](
            fine,
            coarse if level < deepest else fine,
            fine.shape[1],
            coarse.shape[1],
            warp,
            color,
            out,
            level,
            deepest,
            images.shape[1] / size,
            float(outside),
            *scale,
            *shift,
            EDGE=outside < 0,
            CHANNELS_LAST=channels_last,
            SIZE=size,
            **_fixed(size),
        )
    return out


def _halved(pixels: Tensor) -> Float[Tensor, "batch half half 3"]:
    """The next level: means of 2 by 2 pixels, of what there is of them at the far edges."""
    channels_first = pixels.permute(0, 3, 1, 2).to(torch.float32)
    return F.avg_pool2d(channels_first, 2, ceil_mode=True).permute(0, 2, 3, 1).contiguous()


def _fixed(size: int) -> dict[str, Any]:
    whole = triton.next_power_of_2(size * size)
    block = whole if whole <= _LARGEST_WHOLE else _BLOCK
    return {"BLOCK": block, "num_warps": min(_MOST_WARPS, max(1, block // _PIXELS_A_WARP))}


@triton.jit
def _tap(source, side, x, y, mask, outside, EDGE: tl.constexpr):
    """The pixel at whole numbers, which lie in -1..side."""
    at_x = tl.minimum(tl.maximum(x, 0), side - 1)
    at_y = tl.minimum(tl.maximum(y, 0), side - 1)
    at = source + (at_y * side + at_x) * 3
    r = tl.load(at, mask=mask, other=0).to(tl.float32)
    g = tl.load(at + 1, mask=mask, other=0).to(tl.float32)
    b = tl.load(at + 2, mask=mask, other=0).to(tl.float32)
    if not EDGE:
        inside = (at_x == x) & (at_y == y)
        r = tl.where(inside, r, outside)
        g = tl.where(inside, g, outside)
        b = tl.where(inside, b, outside)
    return r, g, b


@triton.jit
def _sampled(
    source,
    side,
    pixels,
    x_x,
    x_y,
    x_1,
    y_x,
    y_y,
    y_1,
    outside,
    EDGE: tl.constexpr,
    SIZE: tl.constexpr,
):
    """Bilinear samples of the view's pixels of those numbers, each at its center."""
    there = pixels < SIZE * SIZE
    column = (2 * (pixels % SIZE) + 1).to(tl.float32) / SIZE - 1
    row = (2 * (pixels // SIZE) + 1).to(tl.float32) / SIZE - 1
    x = ((x_x * column + x_y * row + x_1 + 1) * side - 1) * 0.5
    y = ((y_x * column + y_y * row + y_1 + 1) * side - 1) * 0.5
    # As numbers first, so that points far outside make no wrong index.
    reach_x = 0.0
    reach_y = 0.0
    if not EDGE:
        reach_x = tl.where(tl.abs(x_x) + tl.abs(x_y) + tl.abs(x_1) <= _WITHIN, 0.0, 1.0)
        reach_y = tl.where(tl.abs(y_x) + tl.abs(y_y) + tl.abs(y_1) <= _WITHIN, 0.0, 1.0)
    last = side.to(tl.float32) - 1
    x = tl.minimum(tl.maximum(x, -reach_x), last + reach_x)
    y = tl.minimum(tl.maximum(y, -reach_y), last + reach_y)
    left = tl.floor(x)
    top = tl.floor(y)
    to_right = x - left
    down = y - top
    i = left.to(tl.int32)
    j = top.to(tl.int32)
    r00, g00, b00 = _tap(source, side, i, j, there, outside, EDGE)
    r01, g01, b01 = _tap(source, side, i + 1, j, there, outside, EDGE)
    r10, g10, b10 = _tap(source, side, i, j + 1, there, outside, EDGE)
    r11, g11, b11 = _tap(source, side, i + 1, j + 1, there, outside, EDGE)
    w00 = (1 - to_right) * (1 - down)
    w01 = to_right * (1 - down)
    w10 = (1 - to_right) * down
    w11 = to_right * down
    r = r00 * w00 + r01 * w01 + r10 * w10 + r11 * w11
    g = g00 * w00 + g01 * w01 + g10 * w10 + g11 * w11
    b = b00 * w00 + b01 * w01 + b10 * w10 + b11 * w11
    return r, g, b


@triton.jit
def _mixed(color, r, g, b, mean, added):
    """One row of the color matrix, with what is added, clipped."""
    mixed = (
        tl.load(color) * r
        + tl.load(color + 1) * g
        + tl.load(color + 2) * b
        + tl.load(color + 3) * mean
        + added
    )
    return tl.minimum(tl.maximum(mixed, 0.0), 255.0)


# One compilation whatever the levels and sides are and however the arguments are aligned: a layout
# chosen by them could move the last bits of a sum, and a view may not depend on its batch.
@triton.jit(
    do_not_specialize=["fine_side", "coarse_side", "level_of_fine", "deepest"],
    do_not_specialize_on_alignment=["fine", "coarse", "warp", "color", "out"],
)
def _warp_color_kernel(
    fine,
    coarse,
    fine_side,
    coarse_side,
    warp,
    color,
    out,
    level_of_fine,
    deepest,
    stored_by_view,
    outside,
    scale_r,
    scale_g,
    scale_b,
    shift_r,
    shift_g,
    shift_b,
    EDGE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Views that read the level `fine` or the next, `coarse`; others belong to another launch."""
    sample = tl.program_id(0).to(tl.int64)
    view = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + sample
    x_x = tl.load(warp + view * 6)
    x_y = tl.load(warp + view * 6 + 1)
    x_1 = tl.load(warp + view * 6 + 2)
    y_x = tl.load(warp + view * 6 + 3)
    y_y = tl.load(warp + view * 6 + 4)
    y_1 = tl.load(warp + view * 6 + 5)
    shrink = tl.sqrt_rn(tl.abs(x_x * y_y - x_y * y_x)) * stored_by_view
    level = 0
    most = _SHRINK
    for _ in range(deepest):
        level += (shrink > most).to(tl.int32)
        most *= 2
    if (level < level_of_fine) | (level > level_of_fine + 1):
        return
    source = fine + sample * fine_side * fine_side * 3
    side = fine_side
    if level > level_of_fine:
        source = coarse + sample * coarse_side * coarse_side * 3
        side = coarse_side
    mean = 0.0
    if color is not None:
        gray = tl.zeros((BLOCK,), dtype=tl.float32)
        for start in range(0, SIZE * SIZE, BLOCK):
            pixels = start + tl.arange(0, BLOCK)
            r, g, b = _sampled(
                source, side, pixels, x_x, x_y, x_1, y_x, y_y, y_1, outside, EDGE, SIZE
            )
            gray += tl.where(pixels < SIZE * SIZE, _RED * r + _GREEN * g + _BLUE * b, 0.0)
        mean = tl.sum(gray) / (SIZE * SIZE)
    for start in range(0, SIZE * SIZE, BLOCK):
        pixels = start + tl.arange(0, BLOCK)
        r, g, b = _sampled(source, side, pixels, x_x, x_y, x_1, y_x, y_y, y_1, outside, EDGE, SIZE)
        if color is not None:
            matrix = color + view * 13
            added = tl.load(matrix + 12)
            mixed_r = _mixed(matrix, r, g, b, mean, added)
            mixed_g = _mixed(matrix + 4, r, g, b, mean, added)
            b = _mixed(matrix + 8, r, g, b, mean, added)
            r = mixed_r
            g = mixed_g
        there = pixels < SIZE * SIZE
        to = out + view * (3 * SIZE * SIZE)
        if CHANNELS_LAST:
            to += pixels * 3
            apart = 1
        else:
            to += pixels
            apart = SIZE * SIZE
        tl.store(to, r * scale_r + shift_r, mask=there)
        tl.store(to + apart, g * scale_g + shift_g, mask=there)
        tl.store(to + 2 * apart, b * scale_b + shift_b, mask=there)
