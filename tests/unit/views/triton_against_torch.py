"""The view kernel against grid_sample in float64, on the device that is named: `cpu` with
TRITON_INTERPRET=1.
"""

import itertools
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

from nearfar.core.types import StoredImages
from nearfar.views.kernels import render
from nearfar.views.kernels.triton import warp_color
from nearfar.views.params import WIDTH, ViewParams

TOLERANCE = 2e-5  # of the range
EDGE, BLACK, GRAY = -1.0, 0.0, 128.0
NORMALIZED = {"scale": (0.017, 0.018, -0.02), "shift": (-2.1, -1.9, 0.3)}
LEVELS_SEEN = set()


def turned(view: int, batch: int, zoom: float, source: torch.Generator) -> torch.Tensor:
    """Turned, sheared, mirrored and moved; on the average `zoom` times as long as the stored
    square.
    """
    angle, shear, mirror, x, y, factor = torch.rand(6, view, batch, generator=source)
    angle, mirror = 2 * math.pi * angle, torch.where(mirror < 0.5, -1.0, 1.0)
    length = zoom * (0.8 + 0.4 * factor)
    cos, sin = length * torch.cos(angle), length * torch.sin(angle)
    rows = ((mirror * cos, shear * cos - sin, x - 0.5), (mirror * sin, shear * sin + cos, y - 0.5))
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def known_levels(warp: torch.Tensor, side: int, size: int) -> torch.Tensor:
    shrink = torch.linalg.det(warp[..., :2].double()).abs().sqrt() * side / size
    return torch.ceil(torch.log2(shrink / 1.95)).clamp(min=0).long()


def known_view(image, half, warp, color, *, size: int, level: int, outside: float) -> torch.Tensor:
    """One view (3, S, S) in float64, in [0, 255]."""
    pixels = (half if level else image).permute(2, 0, 1)[None].double()
    for _ in range(level - 1):
        pixels = F.avg_pool2d(pixels, 2, ceil_mode=True)
    grid = F.affine_grid(warp[None].double(), [1, 3, size, size], align_corners=False)
    if outside < 0:
        view = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)[0]
    else:
        last = 1 - 1 / pixels.shape[-1]
        for axis, reach in enumerate(warp.abs().sum(-1).tolist()):
            if reach <= 1:
                grid[..., axis].clamp_(-last, last)
        view = (
            F.grid_sample(pixels - outside, grid, padding_mode="zeros", align_corners=False)[0]
            + outside
        )
    if color is not None:
        mean = (
            (torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None] * view)
            .sum(0)
            .mean()
        )
        matrix, added = color[:12].view(3, 4).double(), color[12].double()
        mixed = torch.einsum("ij,jyx->iyx", matrix[:, :3], view)
        view = (mixed + matrix[:, 3:, None] * mean + added).clamp(0, 255)
    return view


def check(
    side: int, size: int, shape: tuple[int, int], zoom: float, outside: float, *, colored: bool
) -> None:
    source = torch.Generator().manual_seed(side * size)
    views, batch = shape
    images, half = (
        torch.randint(0, 256, (batch, s, s, 3), dtype=torch.uint8, generator=source)
        for s in (side, side // 2)
    )
    warp = turned(views, batch, zoom, source)
    if views * batch > 1:
        warp[0, 0] *= 0.15  # a level that another launch reads
        warp[-1, -1, :, 2] += 40 * zoom  # far outside
        # within, touching the border
        warp[0, -1] = torch.tensor([[0.25, 0.0, 0.75], [0.25, 0.5, -0.25]])
    color = (
        torch.eye(3, 4) + 0.4 * torch.randn(views, batch, 3, 4, generator=source)
        if colored
        else None
    )
    if color is not None:
        added = 60 * torch.randn(views, batch, 1, generator=source)
        color = torch.cat([color.flatten(2), added], dim=-1)
    level = known_levels(warp, side, size)
    LEVELS_SEEN.update(level.flatten().tolist())
    fixed = {"size": size, "outside": outside, "deepest": max(1, int(level.max())), **NORMALIZED}
    inputs = [None if x is None else x.to(DEVICE) for x in (images, half, warp, color)]
    ours = warp_color(*inputs, **fixed)
    assert ours.is_contiguous()

    scale, shift = (
        torch.tensor(NORMALIZED[name], dtype=torch.float64)[:, None, None] for name in NORMALIZED
    )
    for v, b in itertools.product(range(views), range(batch)):
        known = known_view(
            images[b],
            half[b],
            warp[v, b],
            None if color is None else color[v, b],
            size=size,
            level=int(level[v, b]),
            outside=outside,
        )
        error = (((ours[v, b].cpu().double() - shift) / scale - known).abs() / 255).max()
        assert error <= TOLERANCE, (
            side,
            size,
            shape,
            zoom,
            outside,
            colored,
            (v, b),
            float(error),
        )

    last = warp_color(*inputs, **fixed, channels_last=True)
    assert last.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, ours)
    images, half, warp, color = inputs
    alone = (images[-1:], half[-1:], warp[-1:, -1:], None if color is None else color[-1:, -1:])
    assert torch.equal(warp_color(*alone, **{**fixed, "deepest": 5})[0, 0], ours[-1, -1])


def check_what_is_rare() -> None:
    images, half = (torch.full((2, s, s, 3), s, dtype=torch.uint8, device=DEVICE) for s in (16, 8))
    warp = torch.eye(2, 3, device=DEVICE).expand(3, 2, 2, 3)
    plain = {"scale": (1.0, 1.0, 1.0), "shift": (0.0, 0.0, 0.0), "outside": EDGE}
    for deepest, value in ((0, 16), (1, 8)):  # a level that it is not told of is not read
        assert bool(
            (warp_color(images, half, warp, None, size=4, deepest=deepest, **plain) == value).all()
        )
    for share, value in ((1.95, 16), (1.96, 8)):
        assert bool((warp_color(images, half, share * warp, None, size=16, **plain) == value).all())
    assert warp_color(images, half, warp[:0], None, size=4, **plain).shape == (0, 2, 3, 4, 4)
    empty = warp_color(images[:0], half[:0], warp[:, :0], None, size=4, channels_last=True, **plain)
    assert empty.shape == (3, 0, 3, 4, 4)
    one = warp_color(images[:, :1, :1], half[:, :0, :0], warp, None, size=1, deepest=3, **plain)
    assert bool((one == 16).all())


def check_views_of_several_outsides() -> None:
    """Each has a launch of its own; together they lie as one launch's do, and each has its own
    outside.
    """
    images, half = (
        torch.full((2, s, s, 3), 200, dtype=torch.uint8, device=DEVICE) for s in (16, 8)
    )
    # a border of outside, half the view
    warp = np.tile(np.float32([[2, 0, 0], [0, 2, 0]]), (3, 2, 1, 1))
    nothing = np.zeros((3, 2, 1), np.uint8), np.zeros((3, 2, 1, WIDTH), np.float32)
    params = ViewParams(warp, *nothing, np.float32([EDGE, BLACK, GRAY]))
    unit = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}
    for last in (False, True):
        stored = StoredImages(images, half, torch.full((2, 2), 16))
        views = render(stored, params, size=8, **unit, channels_last=last, backend="triton")
        layout = torch.channels_last if last else torch.contiguous_format
        assert views.flatten(0, 1).is_contiguous(memory_format=layout), views.stride()
        assert [round(float(value)) for value in views[:, 1, 2, 0, 5]] == [200, 0, 128]


if __name__ == "__main__":
    DEVICE = sys.argv[1]
    done = 0
    for (side, size, shape, zoom), outside, colored in itertools.product(
        (
            (8, 8, (1, 1), 0.6),
            (13, 9, (2, 3), 0.5),
            (32, 16, (2, 3), 0.6),
            (33, 17, (1, 4), 1.4),
            (48, 48, (2, 1), 1.2),
            (64, 8, (2, 2), 0.4),
            (64, 9, (2, 3), 1.1),
            (33, 8, (3, 2), 4.0),
            (40, 70, (1, 2), 0.9),
        ),
        (EDGE, BLACK, GRAY),
        (False, True),
    ):
        check(side, size, shape, zoom, outside, colored=colored)
        done += 1
    assert {0, 1, 2, 3, 4} <= LEVELS_SEEN, LEVELS_SEEN
    check_what_is_rare()
    check_views_of_several_outsides()
    print(done, "cases")
