"""How many of an epoch's batches hold what a loss of pairs learns from: by the sizes of the classes
alone, before anything is drawn.

Letters: B images of a batch, K classes, N images.
"""

from collections.abc import Sequence
from math import comb, perm

from nearfar.core.types import BatchNeeds


def share_with_pairs(
    needs: BatchNeeds,
    counts: Sequence[int],
    *,
    unlabeled: int,
    batch_size: int,
    balanced: bool,
) -> float:
    """The probability that a batch of `epoch_batches` has what is needed. In [0, 1], exact.

    `counts` are the images of each class; each of the `unlabeled` is a class of its own. A batch of
    two or more cannot lack both equals and others, so the two shares add up.
    """
    counts = [count for count in counts if count]
    if batch_size < 2:
        return 0.0 if any(needs) else 1.0
    if balanced:  # the class of each place is drawn anew
        orders = max(len(counts), 1) ** batch_size
        one_class, no_equals = len(counts), perm(len(counts), batch_size)
    else:
        orders = comb(sum(counts) + unlabeled, batch_size)
        one_class = sum(comb(count, batch_size) for count in counts)
        no_equals = _all_different(counts, unlabeled, batch_size)
    lacking = needs.others * one_class + needs.equals * no_equals
    return float(1 - lacking / max(orders, 1))


def _all_different(counts: Sequence[int], unlabeled: int, size: int) -> int:
    """In how many ways a batch has no two images of one class: products of one class's count each,
    summed over the choices of classes.
    """
    if size > len(counts) + unlabeled:
        return 0
    ways = [1] + [0] * min(size, len(counts))
    for count in counts:
        for chosen in range(len(ways) - 1, 0, -1):
            ways[chosen] += ways[chosen - 1] * count
    return sum(way * comb(unlabeled, size - chosen) for chosen, way in enumerate(ways))
