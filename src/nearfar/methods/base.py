"""The contract of a method: a function of its state and a batch, and the only places that may move
more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from nearfar.config.models import MethodConfig
from nearfar.config.training import OptimizerName
from nearfar.core.errors import UserError
from nearfar.core.ranks import Group
from nearfar.core.types import Batch, BatchNeeds, DataFacts, StepResult
from nearfar.nn.encoders import BatchNormGroups, Encoder


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
    # an anchor's positives are the batch's images of its class
    positives_by_class: ClassVar[bool] = False
    default_views: ClassVar[str]  # the policy of its paper
    default_count: ClassVar[int] = 2  # views of each image
    fewest_views: ClassVar[int] = 1
    smallest_view_px: ClassVar[int] = 1  # views have that side at least
    optimizer: ClassVar[OptimizerDefaults]
    constant_rate: ClassVar[tuple[str, ...]] = ()  # parts whose rate stays at its peak
    # what BatchNorm normalizes together, as its authors have it: all views (in the encoder those of
    # one side), or each view alone. `encode_views`, heads and a target network are given it.
    batch_norm_groups: ClassVar[BatchNormGroups] = "all"
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

    @classmethod
    def batch_needs(cls, _config: MethodConfig, _views: int) -> BatchNeeds:
        """What a batch with so many views has to hold, or `step` finds no pair in it."""
        return BatchNeeds()

    def step(self, batch: Batch) -> StepResult:
        """The loss of a batch: a function of (state_dict, batch), without side effects.
        NothingToCompareError: no pair is in it; the loop leaves the step out.
        """
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
