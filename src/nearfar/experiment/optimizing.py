"""The optimizer of a decided run, built."""

import torch

from nearfar.core.errors import UserError
from nearfar.experiment.setup import OptimizerSetup
from nearfar.methods.base import Method
from nearfar.training.optimizers import Groups, build_optimizer, parameter_groups


def make_optimizer(chosen: OptimizerSetup, method: Method) -> torch.optim.Optimizer:
    """Over everything that learns in the method, in groups of equal rate and decay. UserError:
    nothing does, in a method that trains.
    """
    groups = parameter_groups(
        method,
        constant_rate=method.constant_rate,
        decay_norms_and_biases=chosen.decay_norms_and_biases,
    )
    if not groups and method.Config.trains:
        raise UserError(
            f"encoder: {method.encoder.architecture} has no parameter that requires a gradient, and"
            f" {type(method).__name__} has none of its own, so nothing can learn; unfreeze the"
            ' encoder (requires_grad_(True)), or measure it as it is by method "frozen"'
        )
    return optimizer_of(chosen, groups or [{"params": []}])


def optimizer_of(chosen: OptimizerSetup, groups: Groups) -> torch.optim.Optimizer:
    """Over these groups of parameters."""
    return build_optimizer(
        chosen.name,
        groups,
        lr=chosen.lr,
        weight_decay=chosen.weight_decay,
        momentum=chosen.momentum,
        **chosen.own,
    )
