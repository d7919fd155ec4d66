"""What losses refuse: ValueError, with what was wanted and what came."""

import numbers
from typing import Any, get_args

import torch
from torch import Tensor

from nearfar.core.errors import NotFiniteError
from nearfar.core.ranks import Group, all_max


def check_views(z: Tensor, *, name: str = "z", fewest_views: int = 1) -> None:
    """ValueError unless `z` is (views, samples, width) of floating-point numbers with so many
    views.
    """
    if z.ndim != 3:
        raise ValueError(f"{name}: want (views, samples, width), got shape {tuple(z.shape)}")
    if min(z.shape) < 1:
        raise ValueError(
            f"{name}: want at least one view, sample and dimension, got shape {tuple(z.shape)}"
        )
    if not z.is_floating_point():
        raise ValueError(f"{name}: want floating-point numbers, got {z.dtype}")
    if z.shape[0] < fewest_views:
        raise ValueError(
            f"{name}: want at least {fewest_views} views, got {z.shape[0]}: no positive can exist"
        )


SMALLEST = 1e-37  # whose inverse is a number in float32


def check_positive(**values: object) -> None:
    """ValueError unless each is a number more than 0 and finite, its inverse too."""
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise ValueError(f"{name}: want a number, got {value!r}")
        if not SMALLEST <= float(value) < float("inf"):
            raise ValueError(f"{name}: want more than 0, got {value}")


def check_whole(least: int, **values: object) -> None:
    """ValueError unless each is a whole number from `least` on."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}: want a whole number from {least}, got {value!r}")


def check_finite(squares: Tensor, name: str, group: Group = None) -> None:
    """NotFiniteError, a ValueError, that names the first row whose sum of squares (or length) is no
    finite number.

    With a group every rank raises where one must, so that none waits for it. Nothing under
    torch.compile.
    """
    if torch.compiler.is_compiling():
        return
    finite = squares.isfinite()
    spoilt = ~finite.all()
    if not bool(all_max(spoilt.to(torch.int32), group)):
        return
    if not bool(spoilt):
        raise NotFiniteError(
            f"{name}: want finite numbers, got NaN, infinity or overflow on another rank"
        )
    place = (~finite).nonzero()[0].tolist()
    words = ", ".join(
        f"{axis} {at}" for axis, at in zip(("view", "sample")[-len(place) :], place, strict=False)
    )
    rows = int((~finite).sum())
    raise NotFiniteError(
        f"{name}: want finite numbers, got NaN, infinity or overflow in {rows} row(s), the first at"
        f" {words or place}"
    )


def check_word(name: str, word: object, wanted: Any) -> None:
    """ValueError unless `word` is one of the Literal's."""
    if word not in get_args(wanted):
        raise ValueError(f"{name}: want one of {', '.join(get_args(wanted))}, got {word!r}")
