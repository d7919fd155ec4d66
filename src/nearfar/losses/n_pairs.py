"""N-pair losses: the original of Sohn, and the soft-label form that goes by the same name.

Letters: V views, B samples, N = V * B rows, D projection width.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.errors import NothingToCompareError
from nearfar.core.ranks import Group
from nearfar.losses.checks import (
    check_finite,
    check_positive,
    check_views,
    check_word,
)
from nearfar.losses.choices import PairForm
from nearfar.losses.labels import Labels, taken_labels
from nearfar.losses.precision import at_least_float32, full_precision
from nearfar.losses.rows import gather_rows, mean_over, unit_rows
from nearfar.losses.tiled import statistics


def n_pairs(
    z: Float[Tensor, "view batch dim"],
    labels: Labels,
    *,
    form: PairForm,
    temperature: float = 1.0,
    normalize: bool | None = None,
    length_weight: float = 0.0,
    group: Group = None,
) -> Float[Tensor, ""]:
    """N-pair loss in one of two forms, which differ in more than a constant. In [0, inf), nats.

    "pairs": Sohn 2016 (NeurIPS, "Improved deep metric learning with multi-class N-pair loss
    objective"; the equation
        from a secondary source), mean_i of log(1 + sum_{j != i} exp(f_i.f+_j - f_i.f+_i)), f = z[0]
        and f+ = z[1] the two members of N pairs of distinct classes. Rows are not normalized
        (`normalize` True does it); the weight of the mean squared length that holds them back is
        `length_weight`, whose usual value is from memory, unverified, and therefore 0 here. Pairs
        of one class are no negatives of each other: with distinct classes, the original's case,
        that changes nothing.
    "soft_labels": tensorflow-addons' npairs_loss, as the Keras example of supervised contrastive
    learning trains with
        it: mean_i of -sum_j q_ij log softmax_j(z_i.z_j / t), q_ij = 1/n_i for the n_i rows of the
        class of i, itself included. The diagonal is kept in target and softmax: at least log n_i
        for each row, pure repulsion for a row alone in its class, and no constant away from
        `sup_con`. One view or more; rows are normalized (`normalize` False leaves them).

    A label of -1 makes the sample its own class. Raises ValueError: wrong rank or length, other
    than two views for "pairs", labels that are no integers, a temperature that is not positive, an
    unknown form, a row that is not finite, a length weight below 0, with "soft_labels" or with
    normalized rows, or nothing to be told apart on any rank: one class in "pairs", a single row in
    "soft_labels".
    """
    check_views(z)
    labels = taken_labels(labels, z.shape[1], z.device)
    check_positive(temperature=temperature)
    check_word("form", form, PairForm)
    if form == "pairs" and len(z) != 2:
        raise ValueError(
            f'z: want 2 views with form="pairs" (a row and its positive), got {len(z)}'
        )
    if not 0 <= length_weight < float("inf"):
        raise ValueError(f"length_weight: want at least 0, got {length_weight}")
    if length_weight and form == "soft_labels":
        raise ValueError(
            'length_weight: want 0 with form="soft_labels" (it has no such term), got'
            f" {length_weight}"
        )
    unit = (form == "soft_labels") if normalize is None else normalize
    if length_weight and unit:
        raise ValueError(
            "length_weight: want 0 with normalize=True (all lengths are 1, the term is a constant),"
            f" got {length_weight}"
        )
    with full_precision(z):
        rows = unit_rows(z, group=group) if unit else _finite_rows(z, group)
        if form == "soft_labels":
            return _soft_labels(rows, labels, temperature, group, bounded=unit)
        gathered = gather_rows(rows, labels, group, temperature=temperature, bounded=unit)
        # numbered from 0
        if not torch.compiler.is_compiling() and not bool(gathered.candidate_classes.any()):
            raise NothingToCompareError(
                'labels: want at least two classes with form="pairs", got one: no negative exists'
            )
        first, second = gathered.anchors.view(z.shape)
        negatives, _ = statistics(
            first,
            gathered.candidates[gathered.samples :],  # the second view of all samples
            largest=gathered.largest,
            over="negatives",
            anchor_classes=gathered.classes[: z.shape[1]],
            candidate_classes=gathered.candidate_classes[: gathered.samples],
        )
        loss = mean_over(-F.logsigmoid((first * second).sum(dim=1) - negatives), None, group)
        return (
            loss + length_weight * mean_over(rows.square().sum(dim=-1), None, group)
            if length_weight
            else loss
        )


def _soft_labels(
    rows: Tensor, labels: Tensor, temperature: float, group: Group, *, bounded: bool
) -> Tensor:
    gathered = gather_rows(rows, labels, group, temperature=temperature, bounded=bounded)
    if len(gathered.candidates) < 2:
        raise NothingToCompareError(
            "z: want at least two rows, got one: nothing to compare it with"
        )
    whole, to_class = statistics(
        gathered.anchors,
        gathered.candidates,
        largest=gathered.largest,
        over="all",
        positives="mean",  # without `own` an anchor is one of its own positives
        anchor_classes=gathered.classes,
        candidate_classes=gathered.candidate_classes,
    )
    return mean_over(whole - to_class, None, group)


def _finite_rows(z: Tensor, group: Group) -> Tensor:
    z = at_least_float32(z)
    check_finite(z.detach().square().sum(dim=-1), "z", group)
    return z
