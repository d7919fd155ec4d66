"""Tiny pictures, folders and archives of them."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, width: int = 12, height: int = 10) -> Image.Image:
    """A picture that no other number has."""
    return Image.fromarray(
        np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def photograph(number: int, width: int, height: int, *, smallest_px: float = 2.0) -> Image.Image:
    """A picture with edges and detail: 300 flat boxes over a ramp, down to about `smallest_px`."""
    random = np.random.default_rng(number)
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = (
        np.linspace(0, 255, width),
        np.linspace(0, 255, height)[:, None],
    )
    pixels[..., 2] = random.integers(0, 256)
    longest = np.log2(min(width, height) / smallest_px)
    for _ in range(300):
        w, h = (smallest_px * 2 ** random.uniform(0, longest, 2)).astype(int)
        x, y = (random.uniform(0, 1, 2) * (width - w / 2, height - h / 2)).astype(int)
        pixels[y : y + h, x : x + w] = random.integers(0, 256, 3)
    return Image.fromarray(pixels)


def png(number: int, width: int = 12, height: int = 10) -> bytes:
    out = io.BytesIO()
    picture(number, width, height).save(out, "PNG")
    return out.getvalue()


def pack(path: Path, contents: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def class_folders(counts: Mapping[str, int], start: int = 0) -> dict[str, bytes]:
    """Content by path, `counts` pictures in each folder."""
    numbered = [(folder, i) for folder, count in counts.items() for i in range(count)]
    return {f"{folder}/{i:03d}.png": png(start + k) for k, (folder, i) in enumerate(numbered)}
