"""What of a loss may be learnt, the temperature above all: a number, or a tensor of one value."""

import numbers
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.errors import NotFiniteError
from nearfar.losses.checks import SMALLEST, check_positive
from nearfar.losses.precision import at_least_float32

Temperature: TypeAlias = float | Float[Tensor, "*temperature"]


def taken_temperature(temperature: object, z: Tensor) -> float | Tensor:
    """A number as it is; a tensor as a scalar of the format that a loss of `z` is computed in, its
    gradient exact.

    ValueError: more than one value, or not more than 0; NotFiniteError, a ValueError: a tensor
    whose value is no finite number. Under torch.compile no tensor's value is looked at.
    """
    if not isinstance(temperature, Tensor):
        check_positive(temperature=temperature)
        assert isinstance(temperature, numbers.Real)  # NumPy's scalars are
        return float(temperature)
    scalar = taken_scalar(temperature, z, name="temperature")
    if not torch.compiler.is_compiling() and float(scalar.detach()) < SMALLEST:
        raise ValueError(f"temperature: want more than 0, got {float(scalar.detach()):g}")
    return scalar


def taken_scalar(value: object, z: Tensor, *, name: str) -> Tensor:
    """A finite number, or a tensor of one floating-point number, as a scalar beside `z`."""
    if not isinstance(value, Tensor):
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise ValueError(f"{name}: want a number, got {value!r}")
        value = torch.tensor(float(value), dtype=torch.float64)
    if value.numel() != 1:
        raise ValueError(f"{name}: want one value, got a tensor of shape {tuple(value.shape)}")
    if not value.is_floating_point():
        raise ValueError(f"{name}: want a floating-point number, got {value.dtype}")
    scalar = value.reshape(()).to(z.device, at_least_float32(z[..., :0]).dtype)
    if not torch.compiler.is_compiling() and not bool(scalar.isfinite()):
        raise NotFiniteError(f"{name}: want a finite number, got {float(scalar.detach())}")
    return scalar


def largest_logit(temperature: float | Tensor) -> float:
    """A bound of products of unit rows over the temperature; where no value is looked at, none."""
    if isinstance(temperature, Tensor):
        return float("inf") if torch.compiler.is_compiling() else 1 / float(temperature.detach())
    return 1 / temperature
