"""Views of a batch, and the evaluation view: draw the parameters, then render them.

A view depends on (seed, epoch, sample, draw, view number) and on nothing else, and can be made again.
Letters: V views, B samples, S side of a view (px).
"""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.core.errors import ConfigError
from nearfar.core.types import StoredImages
from nearfar.views.colour import colour_matrices
from nearfar.views.draws import view_keys
from nearfar.views.geometry import centred_squares, warp_matrices
from nearfar.views.policies import Policy
from nearfar.views.warp import render


@dataclass(frozen=True)
class ViewPlan:
    """How many views of which side, from which policy, normalised how."""

    policy: Policy
    count: int
    size: int  # px
    mean: tuple[float, float, float]  # of values in [0, 1]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        checks = (
            (self.count >= 1, f"views.count: want at least 1, got {self.count}"),
            (self.size >= 1, f"data.size: want at least 1 px, got {self.size}"),
            (min(self.std) > 0, f"encoder.std: want more than 0 in each channel, got {self.std}"),
        )
        if problems := [text for fine, text in checks if not fine]:
            raise ConfigError(problems, where="view plan")


def make_views(
    stored: StoredImages,
    plan: ViewPlan,
    *,
    seed: int,
    epoch: int,
    index: Int64[Tensor, " batch"],
    draw: Int64[Tensor, " batch"],
) -> tuple[Float[Tensor, "view batch 3 size size"], ...]:
    """The views of a batch, a tensor for each view group (today one). Float32, normalised, channels first.

    `index` says which sample a row is, `draw` how often it was drawn before in this epoch. All on one device.
    """
    keys = view_keys(plan.count, seed=seed, epoch=epoch, index=index, draw=draw)
    warp = warp_matrices(plan.policy, keys, stored.size_px)
    colour = colour_matrices(plan.policy, keys)
    outside = plan.policy.outside
    return (render(stored, warp, colour, size=plan.size, mean=plan.mean, std=plan.std, outside=outside),)


def evaluation_view(
    stored: StoredImages,
    *,
    size: int,
    crop: float,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[Tensor, "batch 3 {size} {size}"]:
    """The largest centred square in true geometry times `crop`, at `size` px, normalised. No randomness."""
    return render(stored, centred_squares(stored.size_px, crop), None, size=size, mean=mean, std=std)[0]
