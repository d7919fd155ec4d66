"""The contract of a method: a function of its state and a batch, and the only places that may move
more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.config.models import MethodConfig
from nearfar.config.training import OptimizerName
from nearfar.core.errors import UserError
from nearfar.core.ranks import Group
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.losses.rows import mean_over
from nearfar.nn.encoders import Encoder


@dataclass(frozen=True)
class OptimizerDefaults:
    """What a method is trained with where the user says nothing; the rate is for 256 images a
    step.
    """

    name: OptimizerName
    lr_per_256: float
    weight_decay: float
    scaling: Literal["linear", "sqrt"] = "linear"
    decay_norms_and_biases: bool = True
    decay: Literal["cosine", "constant"] = "cosine"  # of the rate, after the warm-up

    def __post_init__(self) -> None:
        """ValueError: no such optimizer."""
        if self.name not in (names := get_args(OptimizerName)):
            raise ValueError(f"optimizer: want one of {', '.join(names)}, got {self.name!r}")

    def lr(self, batch_size: int) -> float:
        ratio = batch_size / 256
        return self.lr_per_256 * (ratio if self.scaling == "linear" else ratio**0.5)


class Method(nn.Module):
    """Base of every method. A method is `@final`, has a `Config`, and implements `step`.

    All state is in `state_dict()` from construction on. `head`, where a method trains one, maps a
    representation (..., E) to scores of the classes and is measured beside the probes. `group` is
    None on one rank; the loop sets it where there are more, and losses and queues are given it.
    """

    Config: ClassVar[type[MethodConfig]]
    needs_labels: ClassVar[bool]
    takes_unlabeled: ClassVar[bool] = True  # images without a label join its training
    default_views: ClassVar[str]  # the policy of its paper
    default_count: ClassVar[int] = 2  # views of each image
    fewest_views: ClassVar[int] = 1
    smallest_view_px: ClassVar[int] = 1  # views have that side at least
    optimizer: ClassVar[OptimizerDefaults]
    constant_rate: ClassVar[tuple[str, ...]] = ()  # parts whose rate stays at its peak
    paper: ClassVar[str]

    group: Group = None  # the ranks that train together, for the losses; the loop sets it
    head: nn.Module | None

    def __init__(self, encoder: Encoder, config: MethodConfig, data: DataFacts) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = None
        self.group = None

    @classmethod
    def why_not(cls, data: DataFacts) -> str | None:
        """Why it cannot learn from these data, or None: the rest of a sentence that begins with its
        name.
        """
        if cls.needs_labels and data.n_classes == 0:
            return f"needs labels, and {data.name} has none; try a method without, such as simclr"
        if cls.needs_labels and sum(count > 0 for count in data.class_counts) < 2:
            return f"needs at least 2 classes, and {data.name} has 1 ({data.class_names[0]})"
        if data.side < cls.smallest_view_px:
            return f"needs images of at least {cls.smallest_view_px} px, these have {data.side}"
        return None

    @classmethod
    def views_needed(cls, _config: MethodConfig | None) -> int:
        """The fewest views with these settings (None: settings that are faulty)."""
        return cls.fewest_views

    def step(self, batch: Batch) -> StepResult:
        """The loss of a batch: a function of (state_dict, batch), without side effects."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> StepResult:
        """The loop calls the module, so that DDP sees it. UserError: `step` returns what the
        contract does not say.
        """
        result = self.step(batch)
        if (problem := _unlike_a_result(result, len(batch.index))) is not None:
            raise UserError(f"{type(self).__name__}: step returned {problem}")
        return result

    def after_backward(self, progress: float) -> None:
        """May set gradients to None; `progress` of the run in [0, 1]."""

    def after_step(self, remember: Mapping[str, Tensor], progress: float) -> None:
        """The only place that moves a target network or pushes a queue."""


def _unlike_a_result(result: object, samples: int) -> str | None:
    """What is not as a StepResult of a batch of so many samples, or None."""
    if not isinstance(result, StepResult):
        return f"{type(result).__name__}; want StepResult(loss, h, z)"
    if not isinstance(result.loss, Tensor) or result.loss.ndim:
        got = (
            tuple(result.loss.shape)
            if isinstance(result.loss, Tensor)
            else type(result.loss).__name__
        )
        return f"a loss of {got}; want a tensor of one number, without axes"
    for name, rows in (
        ("representation h", result.representation),
        ("projection z", result.projection),
    ):
        if rows is not None and (rows.ndim != 3 or rows.shape[1] != samples):
            return f"a {name} of shape {tuple(rows.shape)}; want (views, {samples} samples, width)"
    return None


def scalar(value: float, like: Tensor) -> Tensor:
    """A log entry: a scalar on the device of `like`."""
    return torch.tensor(value, device=like.device)


def answered(scores: Tensor, labels: Tensor, group: Group) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a pretext task whose right answers are `labels` (V, B), or with axes before, and
    its logs: its chance level and accuracy. `scores` have a further last axis, the answers.
    """
    terms = F.cross_entropy(scores.flatten(0, -2), labels.flatten(), reduction="none").view(
        labels.shape
    )
    correct = (scores.detach().argmax(dim=-1) == labels).to(torch.float32).mean()
    return mean_over(terms, None, group), {
        "chance": scalar(math.log(scores.shape[-1]), scores),
        "accuracy": correct,
    }


def draws(batch: Batch, stream: str, n: int) -> tuple[Tensor, ...]:
    """`n` numbers in [0, 1) for each view of each sample, (V, B, n) a view group."""
    sizes = [len(group) for group in batch.views]
    numbers = batch.uniform(stream, sum(sizes) * n).view(-1, sum(sizes), n).movedim(1, 0)
    return torch.split(numbers, sizes)


def refuse_views(encoder: Encoder, side: int, data: DataFacts) -> None:
    """UserError where the encoder cannot take what a method cuts for it out of views: images of
    that side.
    """
    try:
        encoder.width_at(side)
    except ValueError as error:
        raise UserError(
            f"encoder.name: want one for tiles of {side} px of data.size={data.side}; {error}"
        ) from error


def too_short(queue_size: int | None, batch_size: int) -> list[str]:
    """A misfit of `queue_size`: rows that are pushed and never looked at."""
    if queue_size is None or queue_size >= batch_size:
        return []
    return [f"method.queue_size: want at least {batch_size} (train.batch_size), got {queue_size}"]


def too_many(prototypes: int | None, images: int) -> list[str]:
    """A misfit of `prototypes`: some would have no image."""
    if prototypes is None or prototypes <= images:
        return []
    return [f"method.prototypes: want at most {images} (the training images), got {prototypes}"]


def queue_length(asked: int | None, data: DataFacts, *, most: int) -> int:
    """The rows asked for, or `most`, but at most half the training images: a longer queue would
    hold a sample's own earlier key more often than not.
    """
    return max(1, min(most, data.n_images // 2)) if asked is None else asked
