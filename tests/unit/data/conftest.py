"""Tiny pictures, folders and archives of them; the cache goes to a temporary folder."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(number: int, width: int = 12, height: int = 10) -> Image.Image:
    """A picture that no other number has."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8))


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


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes content by path into a new folder."""

    def write_files(contents: Mapping[str, bytes], name: str = "pictures") -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for path, content in contents.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return root

    return write_files
