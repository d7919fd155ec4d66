"""The training loop, whole: nothing in it knows which method it trains."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from nearfar.core.errors import (
    DivergedError,
    NotFiniteError,
    NothingToCompareError,
    TrainingStoppedError,
)
from nearfar.core.progress import Bar
from nearfar.core.randomness import stream_seed
from nearfar.core.types import Batch, StepResult
from nearfar.methods.base import Method
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters
from nearfar.training.monitors import Monitor
from nearfar.training.online_probe import OnlineProbe
from nearfar.training.optimizers import CONSTANT_RATE, RATE_SCALE
from nearfar.training.schedules import Schedule, rate_factor, steps_of

Row = dict[str, float]


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
    *,
    counters: Counters,
    bar: Bar,
    after_epoch: Callable[[Row], None],
    online_probe: OnlineProbe | None = None,
) -> None:
    """Trains from `counters.epoch` to the end; `after_epoch` is given each epoch's row of metrics.

    Groups of the optimizer may have their own rates (`CONSTANT_RATE`, `RATE_SCALE`). `online_probe`
    looks at each step's representation once the step is taken, detached; its time is not counted.
    `method` and `optimizer` are changed in place, `counters` too. DivergedError: the loss or the
    gradient is no finite number; TrainingStoppedError: a batch holds nothing to compare. No step is
    taken with it.
    """
    wrapped, wrapped_optimizer = fabric.setup(method, optimizer)
    method.group = dist.group.WORLD if fabric.world_size > 1 else None
    name = type(method).__name__
    warmup_steps = steps_of(pace.warmup_epochs, batches.steps_per_epoch)
    method.train()
    for epoch in range(counters.epoch, batches.epochs):
        means, monitor = _Means(), Monitor()
        aside = online_probe.seconds if online_probe is not None else 0.0
        started = time.perf_counter()
        for batch in batches.epoch(epoch):
            factor = rate_factor(
                counters.step,
                pace.schedule,
                total_steps=batches.total_steps,
                warmup_steps=warmup_steps,
            )
            lr = pace.lr * factor
            for group in optimizer.param_groups:
                group["lr"] = (pace.lr if group.get(CONSTANT_RATE) else lr) * group.get(
                    RATE_SCALE, 1.0
                )
            try:
                with _own_randomness(batches.seed, counters.step, batches.device):
                    result: StepResult = wrapped(batch)
            except NotFiniteError as error:
                raise _stopped(
                    f"the loss of {name} cannot be taken ({error})", counters, batches, pace, lr
                ) from error
            except NothingToCompareError as error:
                raise _nothing_to_compare(name, error, counters, batches) from error
            loss = float(result.loss.detach())
            if not math.isfinite(loss):
                raise _stopped(
                    f"the loss of {name} is {loss}{_faulty_views(result)}",
                    counters,
                    batches,
                    pace,
                    lr,
                )
            fabric.backward(result.loss)
            method.after_backward(batch.progress)
            norm = _gradient_norm(method, pace.gradient_clip)
            if not math.isfinite(norm):
                raise _stopped(
                    f"the gradient of {name} has norm {norm}", counters, batches, pace, lr
                )
            wrapped_optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            method.after_step(result.remember, batch.progress)
            counters.step += 1
            counters.views_seen += _views_in(batch) * batches.world_size
            means.add(loss, norm, result)
            monitor.see(result)
            if online_probe is not None:
                online_probe.see(result.representation, batch.index)
            bar.advance(1, _text(loss, result))
        counters.train_seconds += time.perf_counter() - started
        counters.epoch = epoch + 1
        row = {**means.row(), **monitor.row(), "lr": lr}
        if online_probe is not None:
            counters.train_seconds -= online_probe.seconds - aside
            row |= online_probe.row()
        after_epoch(row)
        method.train()


class _Means:
    """Running means of an epoch's scalars."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, loss: float, norm: float, result: StepResult) -> None:
        self.count += 1
        logged = {name: float(value) for name, value in result.logs.items()}
        for name, value in {"loss": loss, "grad_norm": norm, **logged}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def row(self) -> Row:
        return {name: value / self.count for name, value in self.sums.items()}


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


def what_to_try(lr: float, lr_key: str = "optimizer.lr") -> str:
    """Advice for a run that diverged at this rate."""
    others = ""
    if lr_key == "optimizer.lr":
        others = ", --set train.gradient_clip=1, or a longer schedule.warmup_epochs"
    return (
        f"The learning rate was {lr:.3g}. Try --set {lr_key}={lr / 10:.2g}{others}; the last"
        " complete epoch's checkpoint stays"
    )


def _stopped(
    what: str, counters: Counters, batches: Batches, pace: Pace, lr: float
) -> DivergedError:
    where = _place(counters, batches)
    return DivergedError(f"training stopped at {where}: {what}. {what_to_try(lr, pace.lr_key)}")


def _nothing_to_compare(
    name: str, error: NothingToCompareError, counters: Counters, batches: Batches
) -> TrainingStoppedError:
    balanced = ", or data.balanced=true" if batches.with_labels and not batches.balanced else ""
    return TrainingStoppedError(
        f"training stopped at {_place(counters, batches)}: {name} finds nothing to compare in a"
        f" batch of {batches.batch_size} images ({error}). Set a larger train.batch_size{balanced};"
        " the last complete epoch's checkpoint stays"
    )


def _place(counters: Counters, batches: Batches) -> str:
    return f"step {counters.step + 1} of {batches.total_steps} (epoch {counters.epoch + 1})"


def _faulty_views(result: StepResult) -> str:
    finite = torch.isfinite(result.representation.detach()).flatten(1).all(dim=1)
    faulty = [str(view) for view, fine in enumerate(finite.tolist()) if not fine]
    return f"; the representation of view {', '.join(faulty)} is not finite" if faulty else ""
