"""Labels as they come in: a tensor, an array or a list."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

Labels: TypeAlias = (
    Integer[Tensor, " batch"] | Integer[np.ndarray[Any, Any], " batch"] | Sequence[int]
)
QueueLabels: TypeAlias = (
    Integer[Tensor, " queue"] | Integer[np.ndarray[Any, Any], " queue"] | Sequence[int]
)


def taken_labels(
    labels: object, samples: int | None, device: torch.device, *, name: str = "labels"
) -> Tensor:
    """(samples,) integers: a tensor as it is, arrays and lists on that device. `samples` None: any
    number.

    ValueError: no integers, or not one a sample.
    """
    given = labels if isinstance(labels, Tensor) else _tensor(labels, name).to(device)
    if given.ndim != 1 or samples not in (None, len(given)):
        each = (
            "one for each sample" if samples is None else f"one for each of the {samples} samples"
        )
        raise ValueError(f"{name}: want {each}, got shape {tuple(given.shape)}")
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise ValueError(f"{name}: want integers, got {given.dtype}")
    return given


def _tensor(labels: Any, name: str) -> Tensor:
    try:
        if isinstance(labels, np.ndarray) and labels.dtype.kind == "u":
            labels = labels.astype(np.int64)
        return torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: want integers, one for each sample, got {labels!r}") from error
