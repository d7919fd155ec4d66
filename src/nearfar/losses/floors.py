"""How low softmax losses can fall: the least that a perfect network leaves.

Of the contrastive ones it is what they are where every class is one point, and the classes lie as
far apart as so many can, on a simplex: their cosines are -1 / (K - 1). Graf et al. 2021,
arXiv:2102.08817, theorem 2: of classes of equal size, with K - 1 dimensions or more, that is the
least value of L_out; with fewer dimensions it is a bound. Of classes of other sizes it is near the
least. An anchor with P positives and M negatives has, t the temperature,

    log( P + M exp(-(1 + 1 / (K - 1)) / t) ),

about the logarithm of its number of positives where t is low.

Letters: V views, B samples, K classes (an unlabeled sample is one).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.losses.labels import Labels, taken_labels
from nearfar.losses.rows import numbered, own_classes


def info_nce_floor(positives: int, negatives: int, classes: int, *, temperature: float) -> float:
    """The least loss of an anchor with so many positives and negatives, of K classes. Nats."""
    pushed = math.exp(-(1 + 1 / max(classes - 1, 1)) / temperature)
    return math.log(positives + negatives * pushed)


def sup_con_floor(
    labels: Labels,
    *,
    views: int,
    temperature: float,
    positives_cap: int | None = None,
) -> Float[Tensor, ""]:
    """The least `sup_con` of a batch of these labels, the mean over the anchors that have a
    positive; 0 where none has one. Nats.
    """
    classes = numbered(own_classes(taken_labels(labels, None, torch.device("cpu"))))
    rows = torch.zeros_like(classes).index_add(0, classes, torch.full_like(classes, views))[classes]
    positives = rows - 1
    if positives_cap is not None:
        positives = positives.clamp(max=positives_cap + views - 1)
    others = classes.max().clamp(min=1)  # K - 1
    pushed = (-(1 + 1 / others) / temperature).exp()
    counted = positives > 0
    least = (positives.clamp(min=1) + (views * len(classes) - rows) * pushed).log()
    return torch.where(counted, least, 0.0).sum() / counted.sum().clamp(min=1)


def smoothed_entropy(classes: int, smoothing: float) -> float:
    """The least cross-entropy: that of the smoothed target itself; 0 without smoothing. Nats."""
    rest = smoothing / classes
    parts = [1 - smoothing + rest, *[rest] * (classes - 1)]
    return -sum(part * math.log(part) for part in parts if part)
