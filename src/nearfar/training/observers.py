"""Who watches the steps of a run and has numbers to say at the end of an epoch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from nearfar.core.progress import Bar
from nearfar.core.types import Batch, StepResult

Row = dict[str, float]


@dataclass(frozen=True)
class Step:
    """A step that was taken."""

    batch: Batch
    result: StepResult
    loss: float
    gradient_norm: float  # before clipping


@runtime_checkable
class Observer(Protocol):
    """Looks at each step; nothing that it does changes the run."""

    def see(self, step: Step) -> None: ...

    def row(self) -> Row:
        """The numbers of the epoch that ends, by their names in metrics.jsonl."""


@dataclass(frozen=True)
class Audience:
    """Whom a run of the loop is told to."""

    bar: Bar
    after_epoch: Callable[[Row], None]  # given each epoch's row of metrics
    observers: Sequence[Observer] = ()  # their time is not counted as training


@final
class Means:
    """Means over an epoch's steps of the loss, of the gradient's norm and of what a method logs."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0

    def see(self, step: Step) -> None:
        self.count += 1
        logged = {name: float(value) for name, value in step.result.logs.items()}
        for name, value in {"loss": step.loss, "grad_norm": step.gradient_norm, **logged}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def row(self) -> Row:
        return {name: value / self.count for name, value in self.sums.items()}


@final
class Together:
    """Several observers as one, and the seconds that they took."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers
        self.seconds = 0.0

    def see(self, step: Step) -> None:
        started = time.perf_counter()
        for observer in self.observers:
            observer.see(step)
        self.seconds += time.perf_counter() - started

    def row(self) -> Row:
        return {
            name: value for observer in self.observers for name, value in observer.row().items()
        }
