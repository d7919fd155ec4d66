"""Views of a batch: draw their parameters, then render.

A view depends on (seed, epoch, sample, draw, view number) and on nothing else, and can be made
again. Letters: V views, B samples, S side of a view (px).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.core.errors import ConfigError
from nearfar.core.randomness import stream_seed
from nearfar.core.types import StoredImages
from nearfar.views.kernels import Backend, PerChannel, in_threads, render
from nearfar.views.kinds import Kind, Policy
from nearfar.views.params import WIDTH, ViewParams
from nearfar.views.program import Program, compile_views

_VIEWS_A_THREAD = 2048  # drawn; .2 µs each


@dataclass(frozen=True)
class Group:
    """Views of one size, which stand in one tensor: tiles of one view one after another."""

    size: int  # px
    program: Program

    @property
    def tiles(self) -> int:
        return self.program.tiles[0] ** 2

    @property
    def views(self) -> int:
        return len(self.program.view) * self.tiles


@dataclass(frozen=True)
class ViewPlan:
    """How many views of which side, from which policy, normalized how.

    With `channels_last` the channels of a pixel lie side by side in memory, as encoders like them;
    shapes and values are the same.
    """

    policy: Policy
    count: int
    size: int  # px
    mean: PerChannel  # of values in [0, 1]
    std: PerChannel
    channels_last: bool = True

    def __post_init__(self) -> None:
        checks = (
            (self.count >= 1, f"views.count: want at least 1, got {self.count}"),
            (self.size >= 1, f"data.size: want at least 1 px, got {self.size}"),
            (
                min(self.mean) >= 0 and max(self.mean) <= 1,
                f"encoder.mean: want values in [0, 1], got {self.mean}",
            ),
            (min(self.std) > 0, f"encoder.std: want more than 0 in each channel, got {self.std}"),
        )
        if problems := [text for fine, text in checks if not fine]:
            raise ConfigError(problems, where="view plan")

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The view groups: one for each size, in the order of their first views."""
        together: dict[tuple[int, object], list[tuple[int, Kind]]] = {}
        for number, kind in enumerate(self.policy.views(self.count)):
            together.setdefault((kind.side_px(self.size), kind.tiles), []).append((number, kind))
        return tuple(Group(size, compile_views(kinds)) for (size, _), kinds in together.items())


def make_views(
    stored: StoredImages,
    plan: ViewPlan,
    *,
    seed: int,
    epoch: int,
    index: Int64[Tensor, " batch"],
    draw: Int64[Tensor, " batch"],
    backend: Backend | None = None,
) -> tuple[Float[Tensor, "_ batch 3 _ _"], ...]:
    """The views of a batch, a tensor (V, B, 3, S, S) for each view group. Float32, normalized, on
    the images' device.

    `index` says which sample a row is, `draw` how often it was drawn before in this epoch.
    `backend` chooses the kernels: by default compiled ones on a CPU, Triton's on a GPU; "reference"
    is plain torch.
    """
    made = []
    for group in plan.groups:
        params = draw_params(
            group, stored.size_px, mean=plan.mean, seed=seed, epoch=epoch, index=index, draw=draw
        )
        made.append(
            render(
                stored,
                params,
                size=group.size,
                mean=plan.mean,
                std=plan.std,
                channels_last=plan.channels_last,
                backend=backend,
            )
        )
    return tuple(made)


def draw_params(
    group: Group,
    size_px: Int64[Tensor, "batch 2"],
    *,
    mean: PerChannel,
    seed: int,
    epoch: int,
    index: Int64[Tensor, " batch"],
    draw: Int64[Tensor, " batch"],
) -> ViewParams:
    """What is done to each view of a group. `size_px` holds true widths and heights; `mean` paints
    cut-outs.
    """
    from nearfar.views.kernels import draw as drawing

    program, views, batch = group.program, group.views, len(index)
    warp = np.empty((views, batch, 2, 3), np.float32)
    stage = np.zeros((views, batch, program.stages), np.uint8)
    amount = np.zeros((views, batch, program.stages, WIDTH), np.float32)
    first_key = stream_seed(seed, "views", epoch)
    numbers = [np.ascontiguousarray(tensor.cpu().numpy()) for tensor in (index, draw, size_px)]
    mean = (float(mean[0]), float(mean[1]), float(mean[2]))
    in_threads(
        lambda start, stop: drawing.draw(
            first_key,
            *numbers,
            program.view,
            program.code,
            program.stream,
            program.probability,
            program.argument,
            program.part,
            program.tiles,
            group.size,
            mean,
            start,
            stop,
            warp,
            stage,
            amount,
        ),
        len(program.view) * batch,
        at_least=_VIEWS_A_THREAD,
    )
    return ViewParams(
        warp, stage, amount, np.repeat(program.outside.astype(np.float32), group.tiles)
    )


def show(
    stored: StoredImages, plan: ViewPlan, *, seed: int, epoch: int, index: Int64[Tensor, " batch"]
) -> Iterator[Tensor]:
    """Each view group as a person sees it: uint8 (V, B, S, S, 3) on the CPU."""
    plain = ViewPlan(plan.policy, plan.count, plan.size, plan.mean, plan.std)
    for views in make_views(
        stored, plain, seed=seed, epoch=epoch, index=index, draw=torch.zeros_like(index)
    ):
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (plan.mean, plan.std))
        values = (views.cpu() * std + mean) * 255
        yield values.round().clamp(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2)
