"""A budget in minutes: how many epochs fit into it, and what would fit where one does not.

It counts from the command's start to the report, over all runs. What it decides is the length of
the runs alone, which then stands in run.toml: the same run is repeated without a budget.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nearfar.config.models import RunConfig
from nearfar.core.errors import UserError
from nearfar.experiment.cost import Parts
from nearfar.experiment.forecast import FIRST_STEPS, MEASURED_STEPS, Forecast
from nearfar.experiment.setup import Setup

MOST_EPOCHS = 1_000_000
FEW_EPOCHS = 20  # up to so many, epochs are shortened to fill the budget
LEAST_EPOCHS = 5  # for which a smaller size is taken, where weights are given and no size
SIZES_PX = 32  # sizes are multiples of it
SMALLEST_SIZE_PX = 64
TRIED_SHARE = 0.1  # of the budget: at most so much of it for measured steps
HOPELESS = 2.0  # budgets' worth of modelled work, before anything is measured
MARGIN = 1.05  # on what is named as enough


@dataclass(frozen=True)
class Budget:
    """`began` is a reading of the clock."""

    minutes: float
    began: float
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)

    @classmethod
    def of(cls, minutes: float | None, began: float | None) -> "Budget | None":
        """Of the minutes that were asked for, if any; from now, where no begin is given."""
        return None if minutes is None else cls(minutes, began or time.perf_counter())

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minutes) and self.minutes > 0):
            raise UserError(f"--minutes: want more than 0, got {self.minutes:g}")

    @property
    def spent(self) -> float:
        """Seconds."""
        return self.clock() - self.began

    @property
    def left(self) -> float:
        return 60 * self.minutes - self.spent


@dataclass(frozen=True)
class Length:
    """Of a run. `share`: of a whole epoch's steps, where epochs are shortened."""

    epochs: int
    share: float = 1.0

    @classmethod
    def stored(cls, train: Mapping[str, Any], whole_steps: int) -> "Length":
        """As the section of a run.toml says it."""
        return cls(train["epochs"], train.get("steps_per_epoch", whole_steps) / whole_steps)

    def of(self, config: RunConfig, whole: Setup) -> RunConfig:
        """The configuration with this length; `whole` is its run with whole epochs."""
        update = {"epochs": self.epochs, "batch_size": whole.batch_size}
        if self.share < 1:
            update["steps_per_epoch"] = max(1, round(self.share * whole.steps_per_epoch))
        train = config.train.model_copy(update=update)
        return config.model_copy(update={"train": train})


def length_within(seconds: float, cost: Callable[[Length], float], *, shorten: bool) -> Length:
    """The longest runs that cost at most so much; of no epochs where one does not fit.

    Few epochs are one more of them, each shorter (unless not to be shortened), so that the budget
    is filled.
    """
    epochs = _most(lambda n: cost(Length(n)) <= seconds)
    if not epochs or epochs >= FEW_EPOCHS or not shorten:
        return Length(epochs)
    thousandths = _largest(
        lambda share: cost(Length(epochs + 1, share / 1000)) <= seconds,
        1000 * epochs // (epochs + 1),
        1000,
    )
    shorter, whole = Length(epochs + 1, thousandths / 1000), Length(epochs)
    return shorter if thousandths and cost(shorter) > cost(whole) else whole


def _most(fits: Callable[[int], bool]) -> int:
    if not fits(1):
        return 0
    high = 2
    while high < MOST_EPOCHS and fits(high):
        high *= 2
    return _largest(fits, high // 2, high)


def _largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """From `low`, and below `high`; 0 where `low` does not fit."""
    if not fits(low):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def tried(setup: Setup, steps: int) -> Setup:
    """A run of so many steps, by which the parts of the real one are measured; at a rate of 0, with
    which no step takes longer or shorter, and none diverges for want of the real one's warm-up.
    """
    return replace(
        setup.with_epochs(2),
        steps_per_epoch=steps // 2,
        selection_interval=None,
        pace=replace(setup.pace, lr=0.0),
        classifier=None,
    )


def steps_to_try(forecast: Forecast, methods: Sequence[str], seconds: float) -> int:
    """Of each method: 20, fewer where they would take too much of the budget."""
    each = sum(forecast.parts(method).step for method in methods)
    most = int(TRIED_SHARE * seconds / max(each, 1e-9))
    return min(MEASURED_STEPS, max(2 * FIRST_STEPS, most))


def refuse_hopeless(budget: Budget, forecast: Forecast) -> None:
    """UserError where one epoch is far from fitting, before anything is measured."""
    if forecast.left() > HOPELESS * budget.left:
        refuse(budget, forecast, "by a model of the cost")


def refuse(budget: Budget, forecast: Forecast, known: str) -> None:
    """UserError: one epoch of the forecast's runs does not fit; it says what would."""
    needed = (budget.spent + forecast.left()) * MARGIN
    runs = len(forecast.runs)
    trials = " and for the trials of --tune" if forecast.trials else ""
    raise UserError(
        f"--minutes {budget.minutes:g} is too little for one epoch of"
        f" {f'each of {runs} runs' if runs > 1 else 'the run'} with its evaluation{trials}"
        f" ({known}); what would fit:"
        f" {', or '.join(_what_would_fit(budget, forecast, needed))}"
    )


def _what_would_fit(budget: Budget, forecast: Forecast, needed: float) -> list[str]:
    found = [f"--minutes {minutes_up(needed)}"]
    left = budget.left / MARGIN
    if forecast.trials and forecast.without_trials().left() <= left:
        found.append("no --tune")
    seeds = sorted({run.seed for run in forecast.runs})
    for few in reversed(seeds[1:]):  # the seeds below it
        fewer = [run for run in forecast.runs if run.seed < few]
        if forecast.of(fewer).left() <= left:
            found.append(f"--seeds {few}")
            break
    if (size := size_within(forecast, left)) is not None:
        found.append(f"--size {size}")
    return found


def minutes_up(seconds: float) -> str:
    """'0.7', '12': rounded up."""
    minutes = seconds / 60
    return f"{math.ceil(10 * minutes) / 10:g}" if minutes < 10 else f"{math.ceil(minutes)}"


def size_within(forecast: Forecast, seconds: float) -> int | None:
    """The largest smaller size of views, px, with which these runs fit; None: none does."""
    size = forecast.runs[0].size
    for smaller in range((size - 1) // SIZES_PX * SIZES_PX, 0, -SIZES_PX):
        if _scaled(forecast, (smaller / size) ** 2) <= seconds:
            return smaller
    return None


def chosen_size(budget: Budget, forecast: Forecast) -> int | None:
    """A size of views, px, for runs of a few epochs on given weights, whose own size would leave
    fewer; None: it stays as it is.
    """
    first = forecast.runs[0]
    trained = any(run.trains for run in forecast.runs)
    if not (trained and first.config.encoder.given) or first.size <= SMALLEST_SIZE_PX:
        return None
    few = forecast.of([run.with_epochs(LEAST_EPOCHS) for run in forecast.runs])
    if few.left() <= budget.left:
        return None
    return max(size_within(few, budget.left) or 0, SMALLEST_SIZE_PX)


def _scaled(forecast: Forecast, pixels: float) -> float:
    """What the runs would take with so many times the pixels."""

    def scaled(parts: Parts) -> Parts:
        return replace(
            parts,
            step=parts.step * pixels,
            image=parts.image * pixels,
            classifier=parts.classifier * pixels,
        )

    return forecast.left(scaled)
