"""RMSProp as the published recipes ran it; torch's own takes steps of another length."""

from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor

from nearfar.training.tensorwise import TensorwiseOptimizer

DECAY = 0.9  # of the mean square, in every recipe


@final
class RMSProp(TensorwiseOptimizer):
    """TensorFlow's form: momentum on lr (g + wd w) / sqrt(mean square + epsilon).

    The mean square begins at 1, epsilon stands inside the root, and the rate inside the momentum.
    Torch's begins at 0, so that its first step is lr / sqrt(1 - decay) in every coordinate: .16 at
    SupCon's rate of .05. SupCon's epsilon (google-research/supcon) is 1 where the encoder is
    trained and .001 for its linear stage.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        epsilon: float,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "epsilon": epsilon},
        )

    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        way = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if not state:
            state["mean_square"] = torch.ones_like(parameter)
            state["momentum_buffer"] = torch.zeros_like(parameter)
        mean_square: Tensor = state["mean_square"].lerp_(way.square(), 1 - DECAY)
        scaled = group["lr"] * way / (mean_square + group["epsilon"]).sqrt()
        parameter.sub_(state["momentum_buffer"].mul_(group["momentum"]).add_(scaled))
