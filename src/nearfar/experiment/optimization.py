"""Optimizer and schedule of a run: what they are where the user says nothing, and how they are
built.
"""

from typing import Any

import torch

from nearfar.config.models import RunConfig
from nearfar.config.training import OWN_KEYS, OptimizerConfig, ScheduleConfig
from nearfar.methods.base import Method
from nearfar.training.loop import Pace
from nearfar.training.optimizers import build_optimizer, parameter_groups
from nearfar.training.schedules import Schedule

# SimCLR's for ImageNet, SupCon's for its linear stage
RATES_PER_256 = {"lars": 0.3, "rmsprop": 0.05}
USUAL_RATE = 1e-3
GIVEN_WEIGHTS_RATE = 0.1  # of the rate, where the encoder starts from weights
LONGEST_WARM_UP = 10.0  # epochs


def default_rate(method: type[Method], name: str, batch: int) -> tuple[float, str]:
    """The rate of an optimizer for a method and batch, and in words where it comes from."""
    own = method.optimizer
    if name == own.name:
        return own.lr(batch), f"{own.lr_per_256:g} per 256 images"
    if name in RATES_PER_256:
        return RATES_PER_256[
            name
        ] * batch / 256, f"{RATES_PER_256[name]:g} per 256 images, usual for {name}"
    return USUAL_RATE, "usual"


def starts_from_weights(config: RunConfig) -> bool:
    return config.encoder.pretrained or config.encoder.weights is not None


def resolved_optimizer(config: RunConfig, method: type[Method], batch: int) -> OptimizerConfig:
    """Every default chosen: the method's, and for LARS no decay on norms and biases, as its recipes
    have it.
    """
    given, defaults = config.optimizer, method.optimizer
    name = given.name or defaults.name
    rate, _ = default_rate(method, name, batch)
    chosen = {
        "name": name,
        "lr": rate * (GIVEN_WEIGHTS_RATE if starts_from_weights(config) else 1),
        "weight_decay": defaults.weight_decay,
        "decay_norms_and_biases": defaults.decay_norms_and_biases and name != "lars",
        **_own(("optimizer", "name", name)),
    }
    return given.model_copy(update=_missing(given, chosen))


def resolved_schedule(
    schedule: ScheduleConfig, epochs: int, method: type[Method]
) -> ScheduleConfig:
    """Every default chosen."""
    decay = schedule.decay or method.optimizer.decay
    chosen = {
        "decay": decay,
        "warmup_epochs": min(LONGEST_WARM_UP, epochs / 10),
        **_own(("schedule", "decay", decay)),
    }
    return schedule.model_copy(update=_missing(schedule, chosen))


def make_optimizer(config: OptimizerConfig, method: Method) -> torch.optim.Optimizer:
    """The optimizer of a resolved configuration."""
    assert config.name is not None
    assert config.lr is not None
    assert config.weight_decay is not None
    assert config.decay_norms_and_biases is not None
    groups = parameter_groups(
        method,
        constant_rate=method.constant_rate,
        decay_norms_and_biases=config.decay_norms_and_biases,
    )
    own = {key: getattr(config, key) for key in _own(("optimizer", "name", config.name))}
    return build_optimizer(
        config.name,
        groups,
        lr=config.lr,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        **own,
    )


def make_pace(config: RunConfig) -> Pace:
    """How fast a resolved configuration learns."""
    assert config.optimizer.lr is not None
    assert config.schedule.warmup_epochs is not None
    assert config.schedule.decay is not None
    own = {
        key: getattr(config.schedule, key)
        for key in _own(("schedule", "decay", config.schedule.decay))
    }
    schedule = Schedule(config.schedule.decay, **own)
    return Pace(
        config.optimizer.lr, config.schedule.warmup_epochs, schedule, config.train.gradient_clip
    )


def _own(choice: tuple[str, str, str]) -> dict[str, Any]:
    return dict(OWN_KEYS.get(choice, {}))


def _missing(given: OptimizerConfig | ScheduleConfig, chosen: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in chosen.items() if getattr(given, key) is None}
