"""What our own optimizers share: they move one tensor at a time, by its gradient and its state."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class TensorwiseOptimizer(Optimizer, ABC):
    """Implements `step`; a subclass is `@final` and says in `move` how far one parameter goes."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.move(parameter, parameter.grad, group)
        return loss

    @abstractmethod
    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Changes the parameter, and its state, in place."""
