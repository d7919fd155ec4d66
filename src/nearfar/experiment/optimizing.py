"""The optimizer of a decided run, built."""

import torch

from nearfar.experiment.setup import OptimizerSetup
from nearfar.methods.base import Method
from nearfar.training.optimizers import Groups, build_optimizer, parameter_groups


def make_optimizer(chosen: OptimizerSetup, method: Method) -> torch.optim.Optimizer:
    """Over everything that learns in the method, in groups of equal rate and decay."""
    groups = parameter_groups(
        method,
        constant_rate=method.constant_rate,
        decay_norms_and_biases=chosen.decay_norms_and_biases,
    )
    return optimizer_of(chosen, groups)


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
