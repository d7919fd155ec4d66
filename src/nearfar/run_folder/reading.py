"""Files of a run folder as they are read: what is missing or cut short is named, and what to do."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from nearfar.core.errors import RunError
from nearfar.run_folder.names import ENCODER, ENCODER_CONFIG, RUN_TOML

Content = TypeVar("Content")
TRAIN_AGAIN = "train again with --force"


def read_json(path: Path, remedy: str = TRAIN_AGAIN) -> dict[str, Any]:
    """RunError: missing, cut short, or no object."""
    content = _read(path, lambda: json.loads(path.read_text(encoding="utf-8")), remedy)
    if not isinstance(content, dict):
        raise RunError(f"{path}: want one JSON object, got {type(content).__name__}; {remedy}")
    return content


def read_toml(path: Path, remedy: str = TRAIN_AGAIN) -> dict[str, Any]:
    """RunError: missing, or cut short."""
    return _read(path, lambda: tomllib.loads(path.read_text(encoding="utf-8")), remedy)


def read_text(path: Path, remedy: str = TRAIN_AGAIN) -> str:
    """RunError: missing, or no text."""
    return _read(path, lambda: path.read_text(encoding="utf-8"), remedy)


def read_tensors(path: Path, remedy: str = TRAIN_AGAIN) -> dict[str, Any]:
    """Of a safetensors file, as torch's. RunError: missing, or cut short."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _read(path, lambda: load_file(path), remedy)
    except SafetensorError as error:
        raise unreadable(path, error, remedy) from error


def read_header(path: Path, remedy: str = TRAIN_AGAIN) -> dict[str, str]:
    """What stands in the header of a safetensors file. RunError: missing, or cut short."""
    from safetensors import SafetensorError, safe_open

    def header() -> dict[str, str]:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})

    try:
        return _read(path, header, remedy)
    except SafetensorError as error:
        raise unreadable(path, error, remedy) from error


def read_arrays(path: Path, remedy: str = TRAIN_AGAIN) -> dict[str, Any]:
    """Of an .npz file; nothing that is pickled. RunError: missing, cut short or damaged."""
    import zipfile
    import zlib

    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise RunError(missing(path)) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise RunError(f"{path}: cut short or damaged ({reason}); {remedy}") from error


def _read(path: Path, take: Callable[[], Content], remedy: str) -> Content:
    try:
        return take()
    except FileNotFoundError as error:
        raise RunError(missing(path)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error, remedy) from error


def unreadable(path: Path, error: Exception, remedy: str) -> RunError:
    return RunError(f"{path} cannot be read (cut short?): {error}; {remedy}")


def missing(path: Path) -> str:
    """What to say of a file that is not there."""
    inside = path.parts[-2:] in (ENCODER.parts, ENCODER_CONFIG.parts)
    folder = path.parent.parent if inside else path.parent
    if not folder.is_dir():
        return f"{folder}: want a run folder, got no such folder"
    if not (folder / RUN_TOML).exists():
        name = path.relative_to(folder).as_posix()
        return f"{folder}: want a run folder, got one without {name}"
    return f"{path} is missing: the run is not complete; continue it with --out {folder} --resume"
