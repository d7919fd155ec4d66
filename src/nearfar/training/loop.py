"""The training loop, whole: nothing in it knows which method it trains, or on what."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from nearfar.core.errors import NothingToCompareError
from nearfar.core.randomness import stream_seed
from nearfar.core.types import Batch, StepResult
from nearfar.methods.base import Method
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters
from nearfar.training.failures import (
    Place,
    finite_loss,
    finite_norm,
    refuse_nothing_learnt,
    stopping_at,
)
from nearfar.training.monitors import Monitor
from nearfar.training.observers import Audience, Means, Step, Together
from nearfar.training.optimizers import CONSTANT_RATE, RATE_SCALE
from nearfar.training.schedules import Schedule, rate_factor, steps_of


@dataclass(frozen=True)
class Pace:
    """How fast a run learns: the peak rate and its course."""

    lr: float
    warmup_epochs: float
    schedule: Schedule
    gradient_clip: float | None
    lr_key: str = "optimizer.lr"  # the setting that a message about the rate names


def fit(
    fabric: Fabric,
    method: Method,
    optimizer: Optimizer,
    batches: Batches,
    pace: Pace,
    counters: Counters,
    audience: Audience,
) -> None:
    """Trains from `counters.epoch` to the end; each step's representation is looked at once the
    step is taken. A batch in which the method finds no pair is left out, and counted.

    Groups of the optimizer may have their own rates (`CONSTANT_RATE`, `RATE_SCALE`). `method`,
    `optimizer` and `counters` are changed in place. Errors as `stopping_at` has them: no step is
    taken with what is no finite number.
    """
    wrapped, wrapped_optimizer = fabric.setup(method, optimizer)
    method.group = dist.group.WORLD if fabric.world_size > 1 else None
    name = type(method).__name__
    method.train()
    for epoch in range(counters.epoch, batches.epochs):
        own, aside = Together(Means(), Monitor()), Together(*audience.observers)
        everybody = Together(own, aside)
        started = time.perf_counter()
        for batch in batches.epoch(epoch):
            lr = _set_rates(optimizer, pace, counters.step, batches)
            with stopping_at(Place(name, counters.step, epoch, batches, lr, pace.lr_key)):
                with _own_randomness(batches.seed, counters.step, batches.device):
                    result = _result(wrapped, batch)
                if result is None:
                    counters.step += 1
                    counters.steps_without_pair += 1
                    audience.bar.advance(1, "no pair in this batch")
                    continue
                loss = finite_loss(result)
                fabric.backward(result.loss)
                method.after_backward(batch.progress)
                norm = finite_norm(_gradient_norm(method, pace.gradient_clip))
            wrapped_optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            method.after_step(result.remember, batch.progress)
            counters.step += 1
            counters.views_seen += _views_in(batch) * batches.world_size
            everybody.see(Step(batch, result, loss, norm))  # unnamed, so that it is let go
            audience.bar.advance(1, _text(loss, result))
        refuse_nothing_learnt(name, counters, batches)
        counters.train_seconds += time.perf_counter() - started - aside.seconds
        counters.epoch = epoch + 1
        audience.after_epoch({**own.row(), "lr": lr, **aside.row()})
        method.train()


def _result(method: Callable[[Batch], StepResult], batch: Batch) -> StepResult | None:
    """None: the batch holds no pair to learn from, on no rank."""
    try:
        return method(batch)
    except NothingToCompareError:
        return None


def _set_rates(optimizer: Optimizer, pace: Pace, step: int, batches: Batches) -> float:
    """Gives each group its rate for this step; the rate that the schedule says."""
    factor = rate_factor(
        step,
        pace.schedule,
        total_steps=batches.total_steps,
        warmup_steps=steps_of(pace.warmup_epochs, batches.steps_per_epoch),
    )
    lr = pace.lr * factor
    for group in optimizer.param_groups:
        rate = pace.lr if group.get(CONSTANT_RATE) else lr
        group["lr"] = rate * group.get(RATE_SCALE, 1.0)
    return lr


@contextmanager
def _own_randomness(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Dropout and its like draw from torch's generator: seeded a step, and the outer state put
    back.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        number = stream_seed(seed, "dropout", step)
        # torch.manual_seed formats a traceback a call: 1.8 ms a step
        torch.default_generator.manual_seed(number)
        if devices:
            torch.cuda.manual_seed(number)
        yield


def _gradient_norm(method: Method, clip: float | None) -> float:
    if clip is not None:
        return float(clip_grad_norm_(method.parameters(), clip))
    return float(get_total_norm([p.grad for p in method.parameters() if p.grad is not None]))


def _views_in(batch: Batch) -> int:
    return sum(group.shape[0] * group.shape[1] for group in batch.views)


def _text(loss: float, result: StepResult) -> str:
    chance = result.logs.get("chance")
    return f"loss {loss:.3f}" + (f" (chance {float(chance):.3f})" if chance is not None else "")
