"""Files of weights, read as tensors alone: no code of a file runs."""

import pickle
import struct
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nearfar.core.errors import UserError

# what torch.load was seen to raise for files with bytes changed or cut off, beside UnpicklingError
DAMAGED = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AssertionError,
    AttributeError,
    TypeError,
    struct.error,
)
# what scripts save beside their tensors: the options that they were called with, plain values
_PLAIN: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [Namespace]


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file by its whole name: one that stands in dictionaries within each other
    has their keys before it, with dots between.

    Safetensors, or what `torch.load(weights_only=True)` reads. UserError: it cannot be read, is
    damaged, or holds more than tensors and plain values.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # of another pickle protocol: it either loads or is refused below
        with warnings.catch_warnings(), torch.serialization.safe_globals(_PLAIN):
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(
            f"encoder.weights: {path} cannot be read ({error.strerror or error})"
        ) from error
    except (SafetensorError, *DAMAGED) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(f"encoder.weights: {path} holds no weights: {reason}") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"encoder.weights: {path} is damaged or holds more than weights, and is not opened; "
            "save it as .safetensors"
        ) from error
    if isinstance(loaded, dict) and loaded.keys() == {"state", "param_groups"}:
        raise UserError(
            f"encoder.weights: {path} is the state of an optimizer; give the file of the network"
        )
    tensors = dict(_tensors(loaded, "")) if isinstance(loaded, Mapping) else {}
    if not tensors:
        raise UserError(f"encoder.weights: {path} holds no state dict of tensors")
    return tensors


def _tensors(content: Mapping[Any, Any], before: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{before}{key}", value
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{before}{key}.")
