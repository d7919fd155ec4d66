"""Losses on relation scores: does a pair belong together?"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.ranks import Group
from nearfar.losses.checks import check_finite, check_word
from nearfar.losses.choices import RelationForm
from nearfar.losses.precision import at_least_float32, full_precision
from nearfar.losses.rows import mean_over


def relation(
    scores: Float[Tensor, "*pair"],
    targets: Float[Tensor, "*pair"],
    *,
    form: RelationForm = "bce",
    focus: float = 2.0,
    positive_weight: float = 0.5,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Binary cross-entropy of relation scores, plain or focal, as a mean over pairs. In [0, inf),
    nats.

    Patacchiola & Storkey 2020, arXiv:2006.05849, and its public code. `scores` are logits,
    `targets` 1 for pairs that belong together and 0 for others. "bce": -t log p - (1-t) log(1-p)
    with p = sigmoid(score). "focal": each term times (1 - p_t)^focus, p_t the probability of what
    is true, and times `positive_weight` for positives, one minus it for negatives (Lin et al. 2017,
    arXiv:1708.02002); the code uses 2 and .5, so that a focal loss is at most half the plain one.

    Raises ValueError: shapes that differ, no pair, an unknown form, a score that is not finite, a
    target outside [0, 1], a focus below 0 or not finite, a weight outside [0, 1].
    """
    check_word("form", form, RelationForm)
    if scores.shape != targets.shape:
        raise ValueError(
            f"targets: want one for each score {tuple(scores.shape)}, got shape"
            f" {tuple(targets.shape)}"
        )
    if not scores.is_floating_point():
        raise ValueError(f"scores: want floating-point numbers, got {scores.dtype}")
    if scores.numel() == 0:
        raise ValueError(f"scores: want at least one pair, got shape {tuple(scores.shape)}")
    if not 0 <= focus < float("inf"):
        raise ValueError(f"focus: want at least 0, got {focus}")
    if not 0 <= positive_weight <= 1:
        raise ValueError(f"positive_weight: want 0 to 1, got {positive_weight}")
    with full_precision(scores):
        scores = at_least_float32(scores)
        targets = targets.to(scores.dtype)  # torch's own promotion would end in float32
        check_finite(scores.detach().flatten(), "scores", group)
        if not torch.compiler.is_compiling() and not bool(((targets >= 0) & (targets <= 1)).all()):
            raise ValueError(f"targets: want 0 to 1, got {targets.min():g} to {targets.max():g}")
        terms = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        if form == "focal":
            # (1 - p_t)^focus through its logarithm: as a power its slope at p_t = 1 is infinite for
            # a focus below 1
            unsure = torch.exp(focus * F.logsigmoid(scores * (1 - 2 * targets)))
            terms = terms * unsure * (1 - positive_weight + (2 * positive_weight - 1) * targets)
        return mean_over(terms, None, group)
