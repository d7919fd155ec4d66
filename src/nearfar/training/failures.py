"""What stops a run in a step, as errors that name the place and what to try."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch

from nearfar.core.errors import (
    DivergedError,
    NotFiniteError,
    TrainingStoppedError,
)
from nearfar.core.types import StepResult
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters


@dataclass(frozen=True)
class Place:
    """A step of a run, and the rate that it is taken with."""

    method: str
    step: int  # counted from 0
    epoch: int  # counted from 0
    batches: Batches
    lr: float
    lr_key: str

    def __str__(self) -> str:
        return f"step {self.step + 1} of {self.batches.total_steps} (epoch {self.epoch + 1})"


@final
class _NoNumberError(NotFiniteError):
    """What a step made is no finite number; begins with "the loss of", then the method's name."""

    def __init__(self, what: str, verdict: str) -> None:
        super().__init__(f"{what} {verdict}")
        self.what, self.verdict = what, verdict


def finite_loss(result: StepResult) -> float:
    """The loss of a step. NotFiniteError: it is NaN or infinite."""
    loss = float(result.loss.detach())
    if not math.isfinite(loss):
        raise _NoNumberError("loss", f"is {loss}{_faulty_views(result)}")
    return loss


def finite_norm(norm: float) -> float:
    """The norm of a step's gradient. NotFiniteError: it is NaN or infinite."""
    if not math.isfinite(norm):
        raise _NoNumberError("gradient", f"has norm {norm}")
    return norm


@contextmanager
def stopping_at(place: Place) -> Iterator[None]:
    """DivergedError: the loss or the gradient is no finite number, or the loss refuses rows that
    are none. It says where.
    """
    try:
        yield
    except _NoNumberError as error:
        raise _diverged(f"the {error.what} of {place.method} {error.verdict}", place) from None
    except NotFiniteError as error:
        what = f"the loss of {place.method} cannot be taken ({error})"
        raise _diverged(what, place) from error


def _diverged(what: str, place: Place) -> DivergedError:
    advice = what_to_try(place.lr, place.lr_key)
    return DivergedError(f"training stopped at {place}: {what}. {advice}")


def refuse_nothing_learnt(method: str, counters: Counters, batches: Batches) -> None:
    """TrainingStoppedError: not one batch so far held a pair."""
    if counters.steps_without_pair < counters.step:
        return
    by_class = not batches.with_labels or batches.sampling.by_class
    balanced = "" if by_class else ", or data.sampling=balanced"
    raise TrainingStoppedError(
        f"training stopped after {counters.step} steps: {method} found no pair to learn from in any"
        f" batch of {batches.batch_size} images. Set a larger train.batch_size{balanced}"
    )


def what_to_try(lr: float, lr_key: str = "optimizer.lr") -> str:
    """Advice for a run that diverged at this rate."""
    others = ""
    if lr_key == "optimizer.lr":
        others = ", --set train.gradient_clip=1, or a longer schedule.warmup_epochs"
    return (
        f"The learning rate was {lr:.3g}. Try --set {lr_key}={lr / 10:.2g}{others}; the last"
        " complete epoch's checkpoint stays"
    )


def _faulty_views(result: StepResult) -> str:
    finite = torch.isfinite(result.representation.detach()).flatten(1).all(dim=1)
    faulty = [str(view) for view, fine in enumerate(finite.tolist()) if not fine]
    return f"; the representation of view {', '.join(faulty)} is not finite" if faulty else ""
