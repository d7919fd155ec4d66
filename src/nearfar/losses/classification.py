"""Losses of a classifier's logits: the terms of cross-entropy, and a margin loss.

Letters: V views, B samples, E representation width, C classes.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.ranks import Group
from nearfar.losses.checks import check_finite, check_views, check_whole
from nearfar.losses.labels import Labels, taken_labels
from nearfar.losses.precision import at_least_float32, full_precision
from nearfar.losses.rows import mean_over


def balanced_weights(counts: Sequence[int]) -> Float[Tensor, " class"]:
    """By images of each class the weights that make all classes count the same: n / (classes with
    images times images of the class), so that their mean over the images is 1; 0 of a class without
    one.
    """
    images = torch.tensor(counts, dtype=torch.float32)
    present = images > 0
    return torch.where(present, images.sum() / (present.sum() * images.clamp(min=1)), 0.0)


def cross_entropy_terms(
    scores: Float[Tensor, "view batch class"],
    labels: Int64[Tensor, "view batch"],
    *,
    class_weights: Float[Tensor, " class"] | None,
    label_smoothing: float,
) -> tuple[Float[Tensor, "view batch"], Float[Tensor, "view batch"]]:
    """The weighted cross-entropy of each row, in [0, inf), nats, and its weight: that of its class.
    Their sums' ratio is the weighted mean, `torch.nn.functional.cross_entropy` of these weights
    where nothing is smoothed; no label is below 0.

    torch weighs the smoothed part of a row by the other classes' weights instead: with balanced
    weights and a smoothing of .1 the best answer to every image is then the rarer of two classes,
    where the other is more than 19 times as large.
    """
    terms = F.cross_entropy(
        scores.movedim(-1, 1), labels, reduction="none", label_smoothing=label_smoothing
    )
    weights = torch.ones_like(terms) if class_weights is None else class_weights[labels]
    return weights * terms, weights


def large_margin_softmax(
    h: Float[Tensor, "view batch embed"],
    weight: Float[Tensor, "class embed"],
    labels: Labels,
    *,
    margin: int,
    softness: float = 0.0,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Cross-entropy whose true class must win by a factor of the angle. In [0, inf), nats.

    Liu et al. 2016, arXiv:1612.02295, eq. 6 and 7: the true logit |w||h| cos(θ) becomes
    |w||h| (λ cos(θ) + ψ(θ)) / (1 + λ), ψ(θ) = (-1)^k cos(mθ) - 2k on [kπ/m, (k+1)π/m], no bias,
    with `margin` m and `softness` λ (their schedule lowers it from 1,000 in training; the test uses
    m = 1). m = 1 is the plain softmax, which a large λ approaches. That this is the max-margin
    baseline of Khosla et al. is their citation's word; neither m nor λ is stated there. Rows are
    not normalized. A label of -1 leaves the sample out.

    Raises ValueError: wrong rank or length, labels that are no integers or not below C, a margin
    below 1, a negative softness or one that is not finite, a row of `h` or `weight` that is not
    finite, or no label on any rank.
    """
    check_views(h, name="h")
    labels = taken_labels(labels, h.shape[1], h.device)
    if weight.ndim != 2 or weight.shape[1] != h.shape[2]:
        raise ValueError(f"weight: want (classes, {h.shape[2]}), got shape {tuple(weight.shape)}")
    check_whole(1, margin=margin)
    if not 0 <= softness < float("inf"):
        raise ValueError(f"softness: want at least 0, got {softness}")
    with full_precision(h):
        h = at_least_float32(h)
        weight = weight.to(h.dtype)
        check_finite(h.detach().square().sum(dim=-1), "h", group)
        check_finite(weight.detach().square().sum(dim=-1), "weight", group)
        if not torch.compiler.is_compiling() and int(labels.max()) >= len(weight):
            raise ValueError(
                f"labels: want numbers below {len(weight)} (the classes), got {int(labels.max())}"
            )
        target = labels.to(torch.int64).clamp(min=0).expand(len(h), -1).unsqueeze(-1)  # (V, B, 1)
        logits = h @ weight.T
        plain = logits.gather(-1, target)
        size = h.norm(dim=-1, keepdim=True) * weight.norm(dim=-1)[target]
        alive = size > 4 * torch.finfo(size.dtype).tiny  # whose inverse is a number
        cosine = torch.where(alive, plain / torch.where(alive, size, 1.0), 1.0).clamp(-1.0, 1.0)
        harder = size * (softness * cosine + large_margin(cosine, margin)) / (1 + softness)
        terms = F.cross_entropy(
            logits.scatter(-1, target, harder).flatten(0, 1), target.flatten(), reduction="none"
        ).view(h.shape[:2])
        counted = (labels >= 0).expand(len(h), -1)
        return mean_over(
            terms, counted, group, nothing="labels: want at least one label, got only -1"
        )


def large_margin(cosine: Float[Tensor, "*shape"], margin: int) -> Float[Tensor, "*shape"]:
    """ψ(θ) of `large_margin_softmax` for cos θ: continuous, falling, 1 at θ = 0, 1 - 2m at π, never
    above cos θ.
    """
    with torch.no_grad():
        turning = torch.tensor(
            [math.cos(k * math.pi / margin) for k in range(1, margin)], dtype=cosine.dtype
        )
        k = (cosine[..., None] < turning.to(cosine.device)).sum(dim=-1)
    # Chebyshev: cos(mθ) as a polynomial, smooth where θ is not
    before, now = torch.ones_like(cosine), cosine
    for _ in range(margin - 1):
        before, now = now, 2 * cosine * now - before
    return (1 - 2 * (k % 2)) * now - 2 * k
