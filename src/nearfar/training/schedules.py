"""The learning rate over a run, as a factor of its peak."""

import math
from typing import Literal

Decay = Literal["cosine", "steps", "constant"]
STEPS_AT = (0.6, 0.75, 0.9)  # of the run, as in SupContrast's linear stage
STEP_FACTOR = 0.2


def rate_factor(step: int, *, total_steps: int, warmup_steps: int, decay: Decay) -> float:
    """In (0, 1]: a linear rise over `warmup_steps`, then cosine to zero, steps, or constant.

    `step` counts from 0; the first step of a warm-up of n has 1/n of the peak. Cosine follows Loshchilov &
    Hutter 2017, arXiv:1608.03983, without restarts; "steps" multiplies by .2 at 60, 75 and 90 % of the run.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if decay == "constant":
        return 1.0
    if decay == "steps":
        passed = sum(step >= at * total_steps for at in STEPS_AT)
        return STEP_FACTOR**passed
    through = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * through))


def steps_of(epochs: float, steps_per_epoch: int) -> int:
    """The one place where a duration in epochs becomes steps."""
    return round(epochs * steps_per_epoch)
