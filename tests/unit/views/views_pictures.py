"""Small stores, policies and views for the tests of this folder."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nearfar.core.types import StoredImages
from nearfar.views.kinds import Kind, Policy
from nearfar.views.making import ViewPlan, draw_params, make_views
from nearfar.views.operations import (
    AddBrightness,
    Autocontrast,
    Blur,
    Brightness,
    Contrast,
    Crop,
    Cutout,
    Equalize,
    Erase,
    Flip,
    Gray,
    Hue,
    Invert,
    Jitter,
    Noise,
    Operation,
    Posterize,
    Rotate,
    Saturation,
    Scale,
    Sharpness,
    Shear,
    Solarize,
    SolarizeAdd,
    Translate,
)
from nearfar.views.params import ViewParams

RAW: Mapping[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
NORMAL: Mapping[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)}
WHERE: Mapping[str, Any] = {"seed": 1, "epoch": 2}

# One of each, drawing from ranges as wide as a policy's.
EACH: dict[str, Operation] = {
    "crop": Crop(),
    "flip": Flip(),
    "flip vertical": Flip(axis="vertical"),
    "rotate": Rotate(degrees=(-180, 180)),
    "shear x": Shear(axis="x", slope=(0, 0.3), either_sign=True),
    "shear y": Shear(axis="y", slope=(-0.3, 0.3)),
    "translate x": Translate(axis="x", fraction=(0.1, 0.5), either_sign=True),
    "translate y": Translate(axis="y", fraction=(-0.5, 0.5)),
    "scale": Scale(factor=(0.4, 2.5)),
    "brightness": Brightness(factor=(0.2, 1.8)),
    "add_brightness": AddBrightness(amount=0.5),
    "contrast": Contrast(factor=(0.2, 1.8)),
    "saturation": Saturation(factor=(0.2, 1.8)),
    "hue": Hue(turns=(-0.5, 0.5)),
    "jitter": Jitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
    "gray": Gray(),
    "blur": Blur(),
    "blur, short kernel": Blur(kernel=0.1),
    "sharpness": Sharpness(factor=(0.1, 1.9)),
    "solarize": Solarize(threshold=(0, 256)),
    "solarize_add": SolarizeAdd(amount=(0, 110)),
    "posterize": Posterize(bits=(1, 8)),
    "equalize": Equalize(),
    "autocontrast": Autocontrast(),
    "invert": Invert(),
    "cutout": Cutout(side=(0.1, 0.6)),
    "erase": Erase(),
    "noise": Noise(sigma=(0, 0.2)),
}
# they round
JUMPS = ("solarize", "solarize_add", "posterize", "equalize", "autocontrast", "invert")


def pictures(n: int, side: int, seed: int = 0) -> torch.Tensor:
    """(n, 3, side, side) uint8, smooth with some noise, all of [0, 255] in use, no two alike."""
    random = np.random.default_rng([seed, n, side])
    at = np.linspace(0, 2 * np.pi, side, endpoint=False)
    phase, pace = random.uniform(0, 6, (2, n, 3, 1, 1)), random.uniform(0.5, 1.5, (n, 3, 1, 1))
    waves = np.sin(pace * at + phase[0]) * np.cos(pace * at[:, None] + phase[1])
    values = 127.5 + 100 * waves + random.normal(0, 25, (n, 3, side, side))
    return torch.from_numpy(values.clip(0, 255).round().astype(np.uint8))


def store(images: torch.Tensor, sizes: list[tuple[int, int]] | None = None) -> StoredImages:
    """A store of those squares (n, 3, side, side); their true sizes are their own, unless given."""
    side = images.shape[-1]
    half = max(1, side // 2)
    small = (
        torch.nn.functional.interpolate(images.float(), (half, half), mode="area")
        .round()
        .to(torch.uint8)
    )
    squares, halves = (pixels.permute(0, 2, 3, 1).contiguous() for pixels in (images, small))
    return StoredImages(squares, halves, torch.tensor(sizes or [(side, side)] * len(images)))


def store_of(n: int, side: int) -> StoredImages:
    """A store of `n` pictures that were squashed from true sizes of aspects between 1:3 and 3:1."""
    sizes = torch.randint(side, 3 * side, (n, 2), generator=torch.Generator().manual_seed(n))
    return store(pictures(n, side), [(int(w), int(h)) for w, h in sizes])


def some(stored: StoredImages, rows: torch.Tensor) -> StoredImages:
    return StoredImages(stored.images[rows], stored.half[rows], stored.size_px[rows])


def policy(*operations: Operation, **more: Any) -> Policy:
    return Policy(kinds=(Kind(operations=operations, **more),))


def views_of(
    stored: StoredImages, plan: ViewPlan, rows: torch.Tensor | None = None, **where: Any
) -> torch.Tensor:
    """The views (V, B, 3, S, S) of the only group. `rows` of the store, `index` beside (default:
    the row).
    """
    (views,) = all_views_of(stored, plan, rows, **where)
    return views


def all_views_of(
    stored: StoredImages,
    plan: ViewPlan,
    rows: torch.Tensor | None = None,
    *,
    index: torch.Tensor | None = None,
    draw: int = 0,
    **where: Any,
) -> tuple[torch.Tensor, ...]:
    rows = torch.arange(len(stored.images)) if rows is None else rows
    index = rows if index is None else index
    times = torch.full_like(rows, draw)
    return make_views(some(stored, rows), plan, index=index, draw=times, **{**WHERE, **where})


def shown(
    images: torch.Tensor, *operations: Operation, backend: str = "cpu", **more: Any
) -> torch.Tensor:
    """What the operations make of uint8 pictures (n, 3, S, S) at their own size, in [0, 255]."""
    plan = ViewPlan(policy(*operations, **more), 1, images.shape[-1], **RAW)
    return 255 * views_of(store(images), plan, backend=backend)[0]


def params_of(
    wanted: Policy,
    n: int,
    *,
    size: int = 32,
    true: tuple[int, int] = (32, 32),
    count: int = 1,
    **where: Any,
) -> ViewParams:
    """The params of the first group for `n` samples of that true size."""
    plan = ViewPlan(wanted, count, size, **NORMAL)
    index = torch.arange(n)
    return draw_params(
        plan.groups[0],
        torch.tensor([true] * n),
        mean=plan.mean,
        index=index,
        draw=torch.full_like(index, where.pop("draw", 0)),
        **{**WHERE, **where},
    )


def boxes_of(params: ViewParams, true: tuple[int, int]) -> np.ndarray:
    """(V, B, 4): left, top, width and height of each crop, in true pixels."""
    warp, size = params.warp.astype(np.float64), np.array(true)
    length = np.abs(warp[..., [0, 1], [0, 1]]) * size
    return np.concatenate([((warp[..., 2] + 1) * size - length) / 2, length], -1)
