"""From a picture of any mode to RGB of 8 bits.

Gray of more than 8 bits has no white of its own: cameras and scanners leave 10 or 12 bits in files
of 16. One value is white for a whole set, by what is in it, so that its pictures keep their
brightness among each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

_WHITES = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits


@dataclass(frozen=True)
class White:
    """What is shown as white of gray in 16-bit integers, and of floating-point gray (None: 1 or
    255, as each picture fits). What is brighter is white, too.
    """

    integer: int = 65535
    real: float | None = None


@dataclass(frozen=True)
class Deep:
    """The brightest value of a picture of gray in more than 8 bits."""

    brightest: float
    is_real: bool


OWN_WHITE = White()


def is_deep(mode: str) -> bool:
    """Whether pictures of that mode are gray of more than 8 bits."""
    return mode == "F" or mode.startswith("I")  # I;16, I;16B, and I, as older Pillows read 16 bits


def deep_of(image: Image.Image) -> Deep | None:
    """Of a loaded picture; None: it has 8 bits, or no faithful conversion."""
    if not is_deep(image.mode):
        return None
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        return None
    return Deep(float(values.max()), image.mode == "F")


def white_of(pictures: Iterable[Deep]) -> White:
    """The least white of a whole number of bits that is above what is in them."""
    every = list(pictures)
    whole = max((one.brightest for one in every if not one.is_real), default=None)
    real = max((one.brightest for one in every if one.is_real), default=None)
    return White(
        65535 if whole is None else next(white for white in _WHITES if white >= whole),
        None if real is None else (1.0 if real <= 1 else 255.0),
    )


def to_rgb(image: Image.Image, white: White = OWN_WHITE) -> Image.Image:
    """Colors, depth and transparency as decoding.py says. Raises ValueError where there is no
    faithful conversion.
    """
    if image.mode == "F":
        return _of_real(np.asarray(image), white.real)
    if is_deep(image.mode):
        return _of_integers(np.asarray(image).astype(np.int64), white.integer)
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        paper = Image.new("RGBA", shown.size, "white")
        paper.alpha_composite(shown)
        return paper.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _of_integers(values: np.ndarray, white: int) -> Image.Image:
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("32-bit values beyond 65535; save it as 8- or 16-bit")
    levels = (np.minimum(values, white) * 255 + white // 2) // white
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


def _of_real(values: np.ndarray, white: float | None) -> Image.Image:
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 255):
        raise ValueError(
            "floating-point values outside [0, 1] and [0, 255]; save it as 8- or 16-bit"
        )
    white = white or (1.0 if values.max() <= 1 else 255.0)
    levels = np.rint(np.minimum(values, white) * (255 / white))
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
