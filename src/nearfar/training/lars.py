"""LARS: a rate for each tensor, in proportion to its own length over that of its gradient."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, final

import torch
from torch import Tensor
from torch.optim import Optimizer

TrustRatio = Literal["norm_of_sum", "sum_of_norms"]
SMALL = 1e-8  # in the denominator of the sum of norms, as lightly and solo-learn have it


@final
class LARS(Optimizer):
    """You et al. 2017, arXiv:1708.03888: momentum on q (g + wd w), whose ratio q has two published
    forms.

    `trust_ratio` "norm_of_sum": coefficient |w| / |g + wd w| (SimCLR, BYOL, Barlow Twins, VICReg,
    DINO). "sum_of_norms": coefficient |w| / (|g| + wd |w| + 1e-8) (solo-learn, lightly), which is
    smaller. `trust_clip`: q is replaced by min(q / lr, 1) (LARC; solo-learn on CIFAR-10). In every
    form q is 1 where a length is 0, so that tensors that start from zero move, and for tensors of
    one dimension (biases, norms). A matrix without any gradient decays by q in the first form; in
    the second not at all, as in solo-learn and lightly, which add the decay only where both lengths
    are above 0. The rate multiplies the momentum, as everywhere but in SimCLR's
    code, which puts it inside: the same at a constant rate. No Nesterov.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        trust_coefficient: float,
        trust_ratio: TrustRatio,
        trust_clip: bool,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "trust_ratio": trust_ratio,
            "trust_clip": trust_clip,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        way = gradient.add(parameter, alpha=group["weight_decay"])
        if parameter.ndim > 1:
            way = _scaled(parameter, gradient, way, group)
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"].mul_(group["momentum"]).add_(way)
        parameter.sub_(buffer, alpha=group["lr"])


def _scaled(weight: Tensor, gradient: Tensor, way: Tensor, group: dict[str, Any]) -> Tensor:
    length = weight.norm()
    if group["trust_ratio"] == "norm_of_sum":
        slope = below = way.norm()
        plain = way
    else:
        slope = gradient.norm()
        plain = gradient  # no decay where there is no gradient
        below = slope + group["weight_decay"] * length + SMALL
    ratio = group["trust_coefficient"] * length / below
    if group["trust_clip"]:
        ratio = (ratio / group["lr"]).clamp(max=1.0)
    return torch.where((length > 0) & (slope > 0), way * ratio, plain)
