"""Optimisers by name, and restoring their state as it was laid out."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer


def build_optimizer(
    name: str, parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, momentum: float
) -> Optimizer:
    """`sgd` with Nesterov momentum, `adamw` or `adam` (beta1 = momentum). KeyError for another name."""
    if name == "sgd":
        nesterov = momentum > 0
        return SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
    betas = (momentum, 0.999)
    if name == "adamw":
        return AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay)
    if name == "adam":
        return Adam(parameters, lr=lr, betas=betas, weight_decay=weight_decay)
    raise KeyError(name)


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Like `load_state_dict`, and each tensor gets its parameter's strides.

    Loaded state has the strides it was saved with; fused optimisers then walk a channels-last parameter and
    its momentum in different orders, silently.
    """
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            entries = optimizer.state.get(parameter, {})
            for key, value in entries.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    entries[key] = torch.empty_like(parameter).copy_(value)
