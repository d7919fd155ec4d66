"""How long a command's runs still take: by the model of their cost, and by what was measured of
them as soon as anything was.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import final

from nearfar.experiment.cost import Cost, Parts, report_seconds, seconds_of, trial_seconds
from nearfar.experiment.encoding import same_start
from nearfar.experiment.plan import duration
from nearfar.experiment.setup import Setup
from nearfar.experiment.tuning import rungs
from nearfar.training.observers import Row, Step

MEASURED_STEPS = 20  # after which a run's estimate is corrected
FIRST_STEPS = 4  # of these, which are slower than those that follow


@final
class Forecast:
    """Of `runs` in their order, with the modelled cost of each method; of no runs it says nothing.
    With `tunes`, of the trials before them too.

    A part that was measured in one method corrects the others' by the same factor, until they are
    measured themselves.
    """

    def __init__(
        self,
        runs: Sequence[Setup] = (),
        costs: Mapping[str, Cost] | None = None,
        *,
        tunes: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.runs = tuple(runs)
        self.costs = dict(costs or {})
        self.clock = clock
        self.measured: dict[tuple[str, str], float] = {}  # by method and part
        self.factors: dict[str, float] = {}  # by part, of the method measured last
        self.told: set[str] = set()  # methods whose first steps were said
        self.at = 0  # the run under way
        self.steps = 0  # that it has taken
        self.starts: set[str] = set()  # that were measured
        # of each method's trials, the share that is still to come
        self.trials = {run.label: 1.0 for run in self.runs if tunes and run.trains}

    def of(self, runs: Sequence[Setup]) -> "Forecast":
        """What is known of these runs' methods, for other runs."""
        other = Forecast(runs, self.costs, clock=self.clock)
        other.measured, other.factors = dict(self.measured), dict(self.factors)
        other.starts = set(self.starts)
        other.trials = dict(self.trials)
        return other

    def without_trials(self) -> "Forecast":
        other = self.of(self.runs)
        other.trials = {}
        return other

    def begin(self, setup: Setup) -> None:
        """The run of this method and seed is the one under way; those before it are complete."""
        names = [(run.label, run.seed) for run in self.runs]
        if (which := (setup.label, setup.seed)) in names:
            self.at = names.index(which)
        self.steps = 0

    def see(self, setup: Setup, part: str, seconds: float) -> None:
        """What a part took, each."""
        self.measured[setup.label, part] = seconds
        cost = self.costs.get(setup.label)
        if cost is not None and (expected := getattr(cost.parts, part)) > 0:
            self.factors[part] = seconds / expected

    @contextmanager
    def timed(self, setup: Setup, part: str, count: int = 1) -> Iterator[None]:
        """What happens within is so many of a part."""
        started = self.clock()
        yield
        self.see(setup, part, (self.clock() - started) / max(count, 1))

    def parts(self, method: str) -> Parts:
        """As far as they were measured; else as they were modelled, corrected."""
        model = self.costs[method].parts if method in self.costs else Parts(0, 0, 0, 0, 0, 0)
        names = [field.name for field in fields(Parts)]
        guesses = {name: getattr(model, name) * self.factors.get(name, 1) for name in names}
        return Parts(**{name: self.measured.get((method, name), guesses[name]) for name in names})

    def left(self, adjusted: Callable[[Parts], Parts] = lambda parts: parts) -> float:
        """Seconds, of trials, of the run under way and of all that follow, with the report; of
        parts that are `adjusted`, where it is asked what others would make of it.
        """
        if not self.runs:
            return 0.0
        total, seen, steps = report_seconds(len(self.runs)), set(self.starts), self.steps
        total += self.trials_left(adjusted)
        for run in self.runs[self.at :]:
            parts, start = adjusted(self.parts(run.label)), same_start(run)
            total += seconds_of(run, parts, floor=start not in seen, steps=steps)
            seen.add(start)
            steps = 0
        return total

    def trials_left(self, adjusted: Callable[[Parts], Parts] = lambda parts: parts) -> float:
        """Seconds, of those that are still to come."""
        total = 0.0
        for label, run in {run.label: run for run in self.runs}.items():
            parts = adjusted(self.parts(label))
            total += self.trials.get(label, 0.0) * sum(
                rung.trials * trial_seconds(run, parts, rung.epochs) for rung in rungs(run.epochs)
            )
        return total

    def memory_bytes(self) -> float:
        """Modelled, of the largest run."""
        return max(cost.memory_bytes for cost in self.costs.values())

    def words(self) -> str:
        """'about 6 min left', of several runs 'in all'; empty of no runs."""
        if not self.runs:
            return ""
        return f"about {duration(self.left())} left{' in all' if len(self.runs) > 1 else ''}"

    def title(self, setup: Setup) -> str:
        """What stands beside a bar."""
        words = f"{setup.label}, seed {setup.seed}"
        if len(self.runs) > 1:
            words = f"run {self.at + 1} of {len(self.runs)}: {words}, {self.words()}"
        return words


@final
@dataclass
class Stopwatch:
    """An observer: tells a forecast how long steps, and the ends of epochs, take.

    `first` is called once, when enough steps were measured; `aside` are seconds that belong to
    neither.
    """

    forecast: Forecast
    setup: Setup
    first: Callable[[], None]
    taken: int = 0
    seconds: float = 0.0  # of the steps that count
    counted: int = 0
    aside: float = 0.0
    last: float | None = None

    def see(self, step: Step) -> None:
        del step
        now = self.forecast.clock()
        self.taken += 1
        self.forecast.steps += 1
        if self.last is not None and self.taken > FIRST_STEPS:
            self.seconds += now - self.last
            self.counted += 1
        self.last = now
        if self.taken == MEASURED_STEPS:
            self._tell()
            self.first()

    def row(self) -> Row:
        return {}

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What happens within is no part of the end of an epoch."""
        started = self.forecast.clock()
        yield
        self.aside += self.forecast.clock() - started

    def end_epoch(self) -> None:
        """All that belongs to the end of an epoch is done."""
        now = self.forecast.clock()
        if self.last is not None:
            self.forecast.see(self.setup, "epoch", max(now - self.last - self.aside, 0.0))
        self._tell()
        self.last, self.aside = now, 0.0

    def _tell(self) -> None:
        if self.counted:
            self.forecast.see(self.setup, "step", self.seconds / self.counted)
