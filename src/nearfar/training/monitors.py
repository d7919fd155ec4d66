"""What is looked at once an epoch to tell a healthy run from an ill one; judged by
`nearfar.evaluate.doctor`.

The names of a row of metrics.jsonl that a judge reads stand here. The monitors' own are below, in
MONITORS. The loop writes `loss`, `lr` and `grad_norm` (mean norm of the gradient before clipping).
A method may log, as means over an epoch's steps: `chance` (the loss of a network that tells nothing
apart), `floor` (the least that the loss can be), `anchors_without_positive` (how many of a step's
rows have none), `queue_age` (mean age of a queue's rows, in steps), `prototypes` (K of a loss over
assignments).

The cost: 2 ms an epoch for conv4, 75 ms at a width of 512, .4 s at 2,048 (one core), and 6 us a
step.

Letters: V views, B samples, N rows (views x samples), E representation width, D projection width.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.losses import alignment, uniformity
from nearfar.training.observers import Step

MONITORS: Final[Mapping[str, str]] = {
    "effective_rank": "of the representation: RankMe, from 1 to its width",
    "feature_std": (
        "spread of the representation on the sphere: 0 is one point, 1 the same in all directions"
    ),
    "projection_std": "the same of the projection, where the method has one",
    "alignment": (
        "mean squared distance of two views of an image on the sphere, of the projection if there"
        " is one"
    ),
    "uniformity": (
        "log of the mean Gaussian potential of two images, of the same: 0 is one point, lower is"
        " more even"
    ),
    "cosine_positive": "mean cosine of two views of an image, of the same",
    "cosine_random": "mean cosine of two images, of the same",
}
# whose singular values are taken: a few per cent of RankMe's 25,600, at a thousandth of their cost
MOST_ROWS = 1024
ROWS_A_DIMENSION = 8
SAMPLES_IN_PAIRS = 256  # of a step at most: some 30,000 pairs
ENOUGH_SAMPLES, MOST_STEPS = 128, 8  # as many of the last steps are compared pair by pair
EPSILON = 1e-7  # of RankMe


class Monitor:
    """Keeps the rows of the last steps that it was shown, and makes numbers of them."""

    def __init__(self) -> None:
        self._kept: deque[tuple[Tensor, Tensor | None]] = deque()

    def see(self, step: Step) -> None:
        """Takes note of a step; older ones are let go once enough rows stand behind them."""
        h, z = step.result.representation.detach(), step.result.projection
        self._kept.append((_few(h), _few(z.detach()) if z is not None else None))
        wanted = rows_wanted(h.shape[-1])
        held = sum(_rows(kept) for kept, _ in self._kept)
        while held - _rows(self._kept[0][0]) >= wanted:
            held -= _rows(self._kept.popleft()[0])

    def row(self) -> dict[str, float]:
        """The numbers of MONITORS that these rows have. None where one of them is not finite, or
        none was seen.

        Spread, alignment, uniformity and cosines are taken within each step, and averaged: between
        two steps even a network that maps every image to one point moves that point.
        """
        tensors = [x for step in self._kept for x in step if x is not None]
        if not tensors or not all(bool(torch.isfinite(x).all()) for x in tensors):
            return {}
        found: dict[str, list[float]] = {}
        for h, z in self._compared():
            numbers = {"feature_std": spread(h), **pairs(h if z is None else z)}
            if z is not None:
                numbers["projection_std"] = spread(z)
            for name, value in numbers.items():
                found.setdefault(name, []).append(value)
        rows = torch.cat([h.flatten(0, 1) for h, _ in self._kept])
        rank = effective_rank(rows[-rows_wanted(rows.shape[1]) :])
        return {
            "effective_rank": rank,
            **{name: sum(values) / len(values) for name, values in found.items()},
        }

    def _compared(self) -> list[tuple[Tensor, Tensor | None]]:
        """The newest steps, until they hold enough samples."""
        steps: list[tuple[Tensor, Tensor | None]] = []
        while (
            len(steps) < min(MOST_STEPS, len(self._kept))
            and sum(h.shape[1] for h, _ in steps) < ENOUGH_SAMPLES
        ):
            steps.append(self._kept[-1 - len(steps)])
        return steps


def effective_rank(rows: Float[Tensor, "row width"]) -> float:
    """How many dimensions the rows fill, in [1, min(N, E)] and a little more for the epsilon; of
    all zeros 1.

    Garrido et al. 2023 (RankMe), arXiv:2210.02885, eq. 1: exp(-sum p log p) of p = s / sum(s) +
    1e-7, s the singular values of the rows as they are. They are the roots of the eigenvalues of
    the smaller Gram matrix, in float64, a tenth of a decomposition's cost; below 1e-8 of the
    largest they are rounding, which moves the result by 1e-4.
    """
    x = rows.to("cpu" if rows.device.type == "mps" else rows.device, torch.float64)
    gram = x.T @ x if len(x) >= x.shape[1] else x @ x.T
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    total = float(singular.sum())
    if total == 0:
        return 1.0
    shares = singular / total + EPSILON
    return float((-(shares * shares.log()).sum()).exp())


def spread(x: Float[Tensor, "view batch width"]) -> float:
    """The mean over dimensions of the standard deviation of rows of length 1, times sqrt(width). In
    [0, 1].

    0: all rows are one point. 1: every direction alike. Chen & He 2021 (SimSiam), arXiv:2011.10566,
    section 4.1.
    """
    unit = F.normalize(x.float().flatten(0, 1), dim=-1)
    return float(unit.std(dim=0, correction=0).mean() * unit.shape[1] ** 0.5)


def pairs(z: Float[Tensor, "view batch dim"]) -> dict[str, float]:
    """Alignment, uniformity and the mean cosines, of at most SAMPLES_IN_PAIRS samples; those that
    can be had.
    """
    z = z[:, :SAMPLES_IN_PAIRS].float()
    views, samples, _ = z.shape
    found = {}
    unit = F.normalize(z, dim=-1)
    of_sample = unit.sum(dim=0)
    if views > 1:
        found["alignment"] = float(alignment(z))
        found["cosine_positive"] = float(
            (of_sample.square().sum() - unit.square().sum()) / (samples * views * (views - 1))
        )
    if samples > 1:
        found["uniformity"] = float(uniformity(z))
        others = of_sample.sum(dim=0).square().sum() - of_sample.square().sum()
        found["cosine_random"] = float(others / (samples * (samples - 1) * views**2))
    return found


def rows_wanted(width: int) -> int:
    """How many rows the effective rank of a representation of this width is taken of."""
    return min(MOST_ROWS, ROWS_A_DIMENSION * width)


def _few(x: Tensor) -> Tensor:
    """All samples, or a copy of the first of them where they are more than are ever looked at."""
    samples = max(1, MOST_ROWS // len(x))
    return x if x.shape[1] <= samples else x[:, :samples].clone()


def _rows(x: Tensor) -> int:
    return x.shape[0] * x.shape[1]
