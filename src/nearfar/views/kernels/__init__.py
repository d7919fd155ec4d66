"""From the params of views to pixels: compiled on a CPU, Triton and torch on a GPU, plain torch
where neither is.

`render` is the seam. Params are drawn on the CPU and hold no pixel; the images lie where the views
are wanted.
"""

import functools
import importlib.util
import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.types import StoredImages
from nearfar.views.kernels.memory import Pool
from nearfar.views.kernels.reference import apply_stages, render_reference
from nearfar.views.params import COLOR, NONE, SHRINK, UNCHANGED, ViewParams

PerChannel = tuple[float, float, float]  # a number each of red, green and blue
Backend = Literal["cpu", "triton", "reference"]

_TASKS_A_THREAD = 4  # views differ in what they cost


def render(
    stored: StoredImages,
    params: ViewParams,
    *,
    size: int,
    mean: PerChannel,
    std: PerChannel,
    channels_last: bool = False,
    backend: Backend | None = None,
) -> Float[Tensor, "view batch 3 {size} {size}"]:
    """Views of side `size`: (value in [0, 1] - mean) / std for each channel, on the device of the
    images.

    With `channels_last` the channels of a pixel lie side by side in memory; the shape is the same.
    """
    level = levels(params.warp, side=stored.images.shape[1], size=size)
    match backend or _default_backend(stored.images.device):
        case "cpu":
            return _on_cpu(stored, params, level, size, mean, std, channels_last)
        case "triton":
            return _by_triton(stored, params, level, size, mean, std, channels_last)
        case "reference":
            values = render_reference(stored, params, level, size=size)
            return _normalized(values, mean, std, channels_last)


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
    if device.type == "cpu":
        return "cpu"
    return "triton" if device.type == "cuda" and importlib.util.find_spec("triton") else "reference"


@functools.cache
def _pool() -> Pool:
    return Pool()


def used_again(shape: Sequence[int]) -> Float32[Tensor, "..."]:
    """Memory for views on a CPU, whatever is in it, that others may have used before."""
    return torch.from_numpy(_pool().borrow(math.prod(shape))).view(*shape)


@functools.cache
def _threads(count: int, _process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="views")


def in_threads(work: Callable[[int, int], None], n: int, *, at_least: int = 1) -> None:
    """work(start, stop) over all of range(n), in as many threads as torch computes with, this one
    among them.

    No thread for fewer than `at_least` pieces: they would wait for each other longer than they
    work.
    """
    count = min(torch.get_num_threads(), n // at_least)
    if count <= 1:
        work(0, n)
        return
    edges = np.linspace(0, n, min(n, count * _TASKS_A_THREAD) + 1).astype(int).tolist()
    left = iter(list(itertools.pairwise(edges)))

    def take() -> None:
        for start, stop in left:
            work(start, stop)

    others = [_threads(count - 1, os.getpid()).submit(take) for _ in range(count - 1)]
    take()
    for other in others:
        other.result()


def _on_cpu(
    stored: StoredImages,
    params: ViewParams,
    level: NDArray[np.int64],
    size: int,
    mean: PerChannel,
    std: PerChannel,
    last: bool,
) -> Tensor:
    from nearfar.views.kernels import cpu

    views, batch = level.shape
    shape = (views, batch, *((size, size, 3) if last else (3, size, size)))
    out = used_again(shape)
    flat = [tensor.contiguous().flatten(2).numpy() for tensor in (stored.images, stored.half)]
    means, scales = (
        np.array([255 * m for m in mean], np.float32),
        np.array([1 / (255 * s) for s in std], np.float32),
    )
    into = out.flatten(2).numpy()
    in_threads(
        lambda start, stop: cpu.render(
            *flat, *params, level, means, scales, size, last, start, stop, into
        ),
        views * batch,
    )
    return out.permute(0, 1, 4, 2, 3) if last else out


def _by_triton(
    stored: StoredImages,
    params: ViewParams,
    level: NDArray[np.int64],
    size: int,
    mean: PerChannel,
    std: PerChannel,
    last: bool,
) -> Tensor:
    """Warp, a first stage of color and the normalization in one pass; what other stages there are,
    by torch.
    """
    from nearfar.views.kernels.triton import warp_color

    device, first = stored.images.device, params.stage[:, :, 0]
    more = bool(
        (params.stage[:, :, 1:] != NONE).any() or ((first != NONE) & (first != COLOR)).any()
    )
    color = None
    if (first == COLOR).any():
        matrices = np.where((first == COLOR)[..., None], params.amount[:, :, 0], UNCHANGED)
        color = torch.from_numpy(matrices).to(device)
    scale, shift = ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)) if more else _scale_and_shift(mean, std)
    warp, parts = torch.from_numpy(params.warp).to(device), []
    for outside, views in itertools.groupby(range(len(level)), key=params.outside.__getitem__):
        at = list(views)
        part = slice(at[0], at[-1] + 1)
        made = warp_color(
            stored.images,
            stored.half,
            warp[part],
            None if color is None else color[part],
            size=size,
            scale=scale,
            shift=shift,
            outside=float(outside),
            channels_last=last and not more,
            deepest=int(level.max(initial=0)),
        )
        parts.append(made)
    values = parts[0] if len(parts) == 1 else torch.cat(parts)
    if not more:
        # `cat` does not keep channels last in five dimensions
        return _in_memory_order(values, last)
    apply_stages(values, params, but_first=True)
    return _normalized(values, mean, std, last)


def _scale_and_shift(mean: PerChannel, std: PerChannel) -> tuple[PerChannel, PerChannel]:
    """What takes a value in [0, 255] to the encoder's input: times one, plus the other."""
    return (
        (1 / (255 * std[0]), 1 / (255 * std[1]), 1 / (255 * std[2])),
        (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2]),
    )


def _normalized(values: Tensor, mean: PerChannel, std: PerChannel, last: bool) -> Tensor:
    scale, shift = (
        torch.tensor(x, device=values.device).view(3, 1, 1) for x in _scale_and_shift(mean, std)
    )
    return _in_memory_order(values * scale + shift, last)


def _in_memory_order(values: Tensor, last: bool) -> Tensor:
    flat = values.flatten(0, 1)
    return flat.contiguous(
        memory_format=torch.channels_last if last else torch.contiguous_format
    ).view_as(values)
