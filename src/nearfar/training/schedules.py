"""The learning rate over a run, as a factor of its peak."""

import math
from dataclasses import dataclass
from typing import Literal

Decay = Literal["cosine", "steps", "constant"]


@dataclass(frozen=True)
class Schedule:
    """The rate's course after its warm-up. `milestones` and `factor` are of steps, `floor` is of
    the cosine.
    """

    decay: Decay
    milestones: tuple[float, ...] = ()  # parts of the whole run
    factor: float = 1.0
    floor: float = 0.0


def rate_factor(step: int, schedule: Schedule, *, total_steps: int, warmup_steps: int) -> float:
    """In (0, 1]: a linear rise over `warmup_steps`, then cosine to the floor, steps, or constant.

    `step` counts from 0; the first step of a warm-up of n has 1/n of the peak. Cosine follows
    Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts; steps multiply by the
    factor at each milestone.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule.decay == "constant":
        return 1.0
    if schedule.decay == "steps":
        passed = sum(step >= round(at * total_steps) for at in schedule.milestones)
        return schedule.factor**passed
    through = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * through))


def steps_of(epochs: float, steps_per_epoch: int) -> int:
    """The one place where a duration in epochs becomes steps."""
    return round(epochs * steps_per_epoch)
