"""What the batches of an epoch hold for a loss of pairs: by the sizes of the classes alone, before
anything is drawn. Exact, each of the unlabeled a class of its own.

Letters: B images of a batch, K classes, N images, n of one class, m of a class in a batch.
"""

from collections import Counter
from collections.abc import Sequence
from math import comb

import numpy as np
from jaxtyping import Float

from nearfar.core.types import BatchNeeds
from nearfar.data.sampler import Sampling


def share_with_pairs(
    needs: BatchNeeds,
    counts: Sequence[int],
    *,
    unlabeled: int,
    batch_size: int,
    sampling: Sampling,
) -> float:
    """The probability that a batch of `epoch_batches` has what is needed. In [0, 1].

    `counts` are the images of each class. A batch of two or more cannot lack both equals and
    others, so the two shares add up.
    """
    counts = [count for count in counts if count]
    if batch_size < 2:
        return 0.0 if any(needs) else 1.0
    one_class = _of_one_class(counts, unlabeled, batch_size, sampling) if needs.others else 0.0
    different = _all_different(counts, unlabeled, batch_size, sampling) if needs.equals else 0.0
    return 1 - one_class - different


def share_without_positive(
    counts: Sequence[int], *, unlabeled: int, batch_size: int, sampling: Sampling
) -> float:
    """The part of a batch's images, on average, that have no other of their class in it. In [0, 1].

    Uniform: the other B - 1 are drawn without replacement (hypergeometric), so
    C(N - n, B - 1) / C(N - 1, B - 1) for an image of a class of n. By class: the class of each
    other place is drawn anew, (1 - p)^(B - 1) for a class that is drawn with probability p; with
    m_per_class 0, or 1 where m is 1.
    """
    counts = [count for count in counts if count]
    n = sum(counts) + unlabeled
    if n == 0 or batch_size < 2:
        return 1.0
    if sampling.per_class is not None:
        return float(sampling.per_class == 1)
    if sampling.by_class:
        return sum(p * (1 - p) ** (batch_size - 1) for p in sampling.shares(counts))
    others = batch_size - 1
    alone = unlabeled * comb(n - 1, others)
    alone += sum(many * count * comb(n - count, others) for count, many in Counter(counts).items())
    return alone / (n * comb(n - 1, others))


def _of_one_class(counts: Sequence[int], unlabeled: int, size: int, sampling: Sampling) -> float:
    """The probability that all images of a batch are of one class."""
    if sampling.per_class is not None:
        return float(size == sampling.per_class)
    if sampling.by_class:
        return float(sum(share**size for share in sampling.shares(counts)))
    orders = max(comb(sum(counts) + unlabeled, size), 1)
    return sum(comb(count, size) for count in counts) / orders


def _all_different(counts: Sequence[int], unlabeled: int, size: int, sampling: Sampling) -> float:
    """The probability that a batch has no two images of one class."""
    if sampling.per_class is not None:
        return float(sampling.per_class == 1)
    if sampling.by_class:
        return float(_chosen(sampling.shares(counts), np.arange(1.0, size + 1))[size])
    n, of_classes = sum(counts) + unlabeled, sum(counts)
    if size > min(n, len(counts) + unlabeled):
        return 0.0
    most = min(size, of_classes)
    places = np.arange(1.0, most + 1)
    different = _chosen(counts, places / (of_classes - places + 1))  # of j labeled images
    ways = comb(n, size)
    return float(
        sum(
            share * (comb(of_classes, j) * comb(unlabeled, size - j) / ways)
            for j, share in enumerate(different)
        )
    )


def _chosen(
    weights: Sequence[float], factors: Float[np.ndarray, " size"]
) -> Float[np.ndarray, " size+1"]:
    """The sum, over all choices of j classes, of the product of their weights, times the first j
    factors; for j = 0 ... size. The factors keep it in [0, 1].
    """
    sums = np.zeros(len(factors) + 1)
    sums[0] = 1.0
    for weight in weights:
        sums[1:] += weight * factors * sums[:-1]
    return sums
