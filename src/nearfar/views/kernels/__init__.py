"""From recipes to pixels: compiled on a CPU, Triton and torch on a GPU, plain torch where neither is.

`render` is the seam. Recipes are drawn on the CPU and hold no pixel; the images lie where the views are wanted.
"""

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.types import StoredImages
from nearfar.views.kernels.reference import render_reference
from nearfar.views.recipes import Recipe

Unit = tuple[float, float, float]
Backend = Literal["cpu", "triton", "reference"]

# Stored pixels to a pixel of the view above which the next smaller level is read. Measured on 200 photographs
# of 128 px, stored at 64 (Pillow's antialiased bilinear) and viewed at 32, against an antialiased resize of
# the crop from the photograph: RMSE in grey levels, median ratio of edge energy
#     shrink   1.0       1.25      1.5       1.7       1.8       1.9       1.95      2.0
#     stored   4.8 .75   3.1 .87   1.9 .96   3.4 1.20  4.0 1.26  4.7 1.33  5.0 1.36  3.3 1.26
#     half     14.6 .31  12.7 .38  11.2 .44  8.6 .56   7.8 .60   6.8 .65   6.3 .67   0.3 1.00
# A blend of both (weight of half: shrink - 1.5) would stay under 2.5 at twice the reads.
SHRINK = 1.95
_TASKS_A_THREAD = 4  # views differ in what they cost


def render(
    stored: StoredImages,
    recipe: Recipe,
    *,
    size: int,
    mean: Unit,
    std: Unit,
    channels_last: bool = False,
    backend: Backend | None = None,
) -> Float[Tensor, "view batch 3 {size} {size}"]:
    """Views of side `size`: (value in [0, 1] - mean) / std for each channel, on the device of the images.

    With `channels_last` the channels of a pixel lie side by side in memory; the shape is the same.
    """
    views, batch = recipe.warp.shape[:2]
    level = levels(recipe.warp, side=stored.images.shape[1], size=size)
    shape = (size, size, 3) if channels_last else (3, size, size)
    out = torch.empty(views, batch, *shape, device=stored.images.device)
    shown = out.permute(0, 1, 4, 2, 3) if channels_last else out
    kind = backend or _default_backend(out.device)
    if kind == "cpu":
        _render_on_cpu(stored, recipe, level, mean, std, channels_last, out)
        return shown
    warp, levels_read, stage, amount = (
        torch.from_numpy(array).to(out.device) for array in (recipe.warp, level, recipe.stage, recipe.amount)
    )
    outside = recipe.outside.tolist()
    values = render_reference(stored, warp, levels_read, stage, amount, outside, size=size)
    shift, scale = (torch.tensor(x, device=out.device).view(3, 1, 1) for x in (mean, std))
    return shown.copy_((values / 255 - shift) / scale)


def levels(
    warp: Float32[np.ndarray, "view batch 2 3"], *, side: int, size: int
) -> Int64[np.ndarray, "view batch"]:
    """Which level each warp reads: 0 the stored square, 1 its half, and so on by halves."""
    area = np.abs(warp[..., 0, 0] * warp[..., 1, 1] - warp[..., 0, 1] * warp[..., 1, 0])
    shrink = np.sqrt(area) * np.float32(side / (size * SHRINK))
    deep: NDArray[np.int64] = np.ceil(np.log2(np.maximum(shrink, 1))).astype(np.int64)
    return deep


@functools.cache
def _default_backend(device: torch.device) -> Backend:
    return "cpu" if device.type == "cpu" else "reference"


@functools.cache
def _threads(count: int, _process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="views")


def in_threads(work: Callable[[int, int], None], n: int) -> None:
    """work(start, stop) over all of range(n), in as many threads as torch computes with."""
    count = min(torch.get_num_threads(), n)
    if count <= 1:
        work(0, n)
        return
    edges = np.linspace(0, n, min(n, count * _TASKS_A_THREAD) + 1).astype(int).tolist()
    tasks = [_threads(count, os.getpid()).submit(work, *edge) for edge in itertools.pairwise(edges)]
    for task in tasks:
        task.result()


def _render_on_cpu(
    stored: StoredImages, recipe: Recipe, level: NDArray[np.int64], mean: Unit, std: Unit, last: bool, out: Tensor
) -> None:
    from nearfar.views.kernels import cpu

    flat = [tensor.contiguous().flatten(2).numpy() for tensor in (stored.images, stored.half)]
    scale = np.array([1 / (255 * s) for s in std], np.float32)
    shift = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
    views, batch = out.shape[:2]
    size = out.shape[3]
    into = out.flatten(2).numpy()
    in_threads(
        lambda start, stop: cpu.render(*flat, *recipe, level, scale, shift, size, last, start, stop, into),
        views * batch,
    )
