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
