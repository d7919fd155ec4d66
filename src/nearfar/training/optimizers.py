"""Optimizers by name, the groups of parameters they treat alike, and restoring their state as it
was laid out.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from timm.optim.rmsprop_tf import RMSpropTF
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nearfar.training.lars import LARS

Groups = Iterable[nn.Parameter] | list[dict[str, Any]]
CONSTANT_RATE = "constant_rate"  # of a group: the loop leaves its rate at the peak
MEAN_SQUARE_DECAY = 0.9  # of rmsprop, in every recipe
RATE_SCALE = "rate_scale"  # of a group: the loop gives it that many times the rate


def parameter_groups(
    model: nn.Module, *, constant_rate: Sequence[str] = (), decay_norms_and_biases: bool = True
) -> list[dict[str, Any]]:
    """What learns of a model: parts named in `constant_rate` apart, and tensors of one dimension
    (biases and norms) apart without weight decay where they should have none. In the order of the
    model; one group where nothing differs.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (
                name.partition(".")[0] in constant_rate,
                decay_norms_and_biases or parameter.ndim > 1,
            )
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            CONSTANT_RATE: constant,
            **({} if decayed else {"weight_decay": 0.0}),
        }
        for (constant, decayed), parameters in groups.items()
    ]


def build_optimizer(
    name: str, parameters: Groups, *, lr: float, weight_decay: float, momentum: float, **own: Any
) -> Optimizer:
    """`sgd`, with Nesterov momentum unless `own` has `nesterov` false; `adamw` or `adam` (beta1 =
    momentum); `lars`, to which `own` goes; `rmsprop`, as the published recipes ran it, with `own`
    of `epsilon`. KeyError for another name.
    """
    if name == "sgd":
        nesterov = own.get("nesterov", True) and momentum > 0
        return SGD(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )
    betas = (momentum, 0.999)
    if name == "adamw":
        return AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay)
    if name == "adam":
        return Adam(parameters, lr=lr, betas=betas, weight_decay=weight_decay)
    if name == "lars":
        return LARS(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, **own)
    if name == "rmsprop":
        return _rmsprop(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, **own)
    raise KeyError(name)


def _rmsprop(
    parameters: Groups, *, lr: float, momentum: float, weight_decay: float, epsilon: float
) -> Optimizer:
    """TensorFlow's form: momentum on lr (g + wd w) / sqrt(mean square + epsilon).

    The mean square begins at 1, epsilon stands inside the root, and the rate inside the momentum.
    Torch's begins at 0, so that its first step is lr / sqrt(1 - decay) in every coordinate: .16 at
    SupCon's rate of .05. SupCon's epsilon (google-research/supcon) is 1 where the encoder is
    trained and .001 for its linear stage.
    """
    optimizer: Optimizer = RMSpropTF(
        parameters,
        lr=lr,
        alpha=MEAN_SQUARE_DECAY,
        eps=epsilon,
        weight_decay=weight_decay,
        momentum=momentum,
        centered=False,
        decoupled_decay=False,
        lr_in_momentum=True,
    )
    return optimizer


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Like `load_state_dict`, and each tensor gets its parameter's strides.

    Loaded state has the strides it was saved with; fused optimizers then walk a channels-last
    parameter and its momentum in different orders, silently.
    """
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            entries = optimizer.state.get(parameter, {})
            for key, value in entries.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    entries[key] = torch.empty_like(parameter).copy_(value)
