"""A tiny data set, method and run for the tests of train."""

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nearfar.config.models import MethodConfig
from nearfar.core.progress import Bar
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.data.center import CenterSquare
from nearfar.data.sampler import Sampling
from nearfar.data.samples import EvaluationView, ImageSamples
from nearfar.data.store import KeptImages
from nearfar.methods.base import Method, OptimizerDefaults
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters
from nearfar.training.loop import Pace, fit
from nearfar.training.observers import Audience, Observer, Row
from nearfar.training.schedules import Schedule
from nearfar.views.making import ViewPlan
from nearfar.views.policies import named_policy

SIZE = 8
FACTS = DataFacts("tiny", SIZE, ("a", "b"), (8, 8), 16)


def tiny_data(n: int = 16) -> KeptImages:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    return KeptImages(
        name="tiny",
        images=images,
        half=images[:, ::2, ::2],
        evaluated=images[:0],
        center=CenterSquare(SIZE),
        sizes_px=torch.full((n, 2), SIZE),
        labels=torch.arange(n) % 2,
        splits=np.array(["train"] * n),
        paths=tuple(f"{i}.png" for i in range(n)),
        class_names=("a", "b"),
        default_policy=None,
        skipped=(),
    )


def tiny_samples() -> ImageSamples:
    mean, std = (0.5,) * 3, (0.25,) * 3
    view = EvaluationView(CenterSquare(SIZE), mean, std)
    plan = ViewPlan(named_policy("digits"), 2, SIZE, mean, std)
    return ImageSamples(tiny_data(), view, torch.device("cpu"), plan)


def tiny_batches(**changed: Any) -> Batches:
    settings = {
        "samples": tiny_samples(),
        "pool": torch.arange(16),
        "batch_size": 4,
        "steps_per_epoch": 3,
        "epochs": 2,
        "seed": 0,
        "sampling": Sampling(),
        "with_labels": True,
        "device": torch.device("cpu"),
    }
    return Batches(**{**settings, **changed})


class TinyNet(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 5), nn.Dropout(dropout))

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows)


class NoConfig(MethodConfig):
    """Nothing to set."""


@final
class Recording(Method):
    """Loss: mean square of the representation. Writes down what is called, in order."""

    Config = NoConfig
    needs_labels = False
    default_views = "digits"
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.1, weight_decay=0.0)
    paper = "none"

    def __init__(self, dropout: float = 0.0, bad_at: int | None = None, scale: float = 1.0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = Encoder(
                TinyNet(dropout), example=torch.zeros(1, 3, SIZE, SIZE), architecture="TinyNet"
            )
        super().__init__(encoder, NoConfig(), FACTS)
        self.bad_at = bad_at
        self.scale = scale
        self.calls: list[str] = []
        self.progress: list[float] = []
        self.batches: list[Batch] = []
        self.losses: list[float] = []
        self.gradients: list[list[Tensor | None]] = []

    def step(self, batch: Batch) -> StepResult:
        self.calls.append("step")
        self.batches.append(batch)
        h = encode_views(self.encoder, batch.views)
        loss = self.scale * h.square().mean()
        if self.bad_at == len(self.batches):
            loss = loss * float("nan")
            h = torch.cat([h[:1], h[1:] * float("nan")])
        self.losses.append(float(loss.detach()))
        step = torch.tensor(float(len(self.batches)))
        return StepResult(
            loss, h, logs={"chance": torch.tensor(0.5), "step": step}, remember={"n": step}
        )

    def after_backward(self, progress: float) -> None:  # noqa: ARG002
        self.calls.append("after_backward")
        self.gradients.append(
            [None if p.grad is None else p.grad.clone() for p in self.parameters()]
        )

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        self.calls.append(f"after_step {int(remember['n'])}")
        assert all(p.grad is None for p in self.parameters())
        self.progress.append(progress)


def tiny_fit(
    method: Method,
    batches: Batches | None = None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    counters: Counters | None = None,
    bar: Bar | None = None,
    after_epoch: Callable[[Row], None] | None = None,
    observers: tuple[Observer, ...] = (),
    **pace: Any,
) -> list[Row]:
    """The rows of metrics of a run of the loop."""
    rows: list[Row] = []
    optimizer = optimizer or torch.optim.SGD(method.parameters(), lr=1.0)
    settings = {
        "lr": 0.1,
        "warmup_epochs": 0.0,
        "schedule": Schedule("constant"),
        "gradient_clip": None,
        **pace,
    }
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    fit(
        fabric,
        method,
        optimizer,
        batches or tiny_batches(),
        Pace(**settings),
        counters or Counters(),
        Audience(bar or Bar(), after_epoch or rows.append, observers),
    )
    return rows
