"""Softmax-contrastive losses over every pair of rows, in their dense form: N x N memory.

Letters: V views, B samples, N = V * B rows, D projection width.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def sup_con(
    z: Float[Tensor, "view batch dim"], labels: Int64[Tensor, " batch"], *, temperature: float
) -> Float[Tensor, ""]:
    """Supervised contrastive loss, L_out: each row finds its class among all rows. In [0, inf), nats.

    Khosla et al. 2020, arXiv:2004.11362, eq. 2, as a mean over anchors instead of a sum:
    mean_i of -1/|P(i)| sum_{p in P(i)} log( exp(z_i.z_p / t) / sum_{a != i} exp(z_i.z_a / t) ).
    No factor of t or of a base temperature is applied.

    `z` is normalised here, row by row, and computed in at least float32. A label of -1 makes the sample its
    own class: with labels all -1 this is `info_nce`. An anchor without a positive (its class has one row)
    contributes nothing, and the mean is over the anchors that have one; see `count_anchors_without_positive`.

    Raises ValueError: wrong rank or length, a temperature that is not positive, or no anchor with a positive.
    """
    views, batch, _ = _checked(z, labels, temperature)
    rows = _unit_rows(z)
    classes = torch.unique(_own_class_where_unlabelled(labels), return_inverse=True)[1].repeat(views)
    positives = classes.bincount()[classes] - 1
    counted = positives > 0
    if not bool(counted.any()):
        raise ValueError(
            f"labels: want at least one sample with a positive, got none ({views} view(s) of {batch} samples "
            "that all differ in class); give two views or more samples of a class"
        )
    similarity = (rows @ rows.T / temperature).fill_diagonal_(-torch.inf)
    sums = rows.new_zeros(batch, rows.shape[1]).index_add(0, classes, rows)  # of each class; at most B of them
    to_positives = (rows * (sums[classes] - rows)).sum(dim=1) / temperature  # sum over p of z_i.z_p / t
    per_anchor = similarity.logsumexp(dim=1) - to_positives / positives.clamp(min=1)
    mean: Tensor = (per_anchor * counted).sum() / counted.sum()
    return mean


def info_nce(z: Float[Tensor, "view batch dim"], *, temperature: float) -> Float[Tensor, ""]:
    """NT-Xent: each view of an image finds its other views among all rows. In [0, inf), nats.

    Chen et al. 2020, arXiv:2002.05709, eq. 1, for V >= 2 views: `sup_con` in which each sample is its own
    class. Rows are normalised here. Raises ValueError as `sup_con` does, also for a single view.
    """
    return sup_con(z, torch.full((z.shape[1],), -1, device=z.device), temperature=temperature)


def count_anchors_without_positive(
    views: int, labels: Int64[Tensor, " batch"]
) -> Int64[Tensor, ""]:
    """How many of the V * B rows share their class with no other row: what `sup_con` leaves out."""
    if views > 1:
        return labels.new_zeros(())
    classes = _own_class_where_unlabelled(labels)
    same: Tensor = classes[:, None] == classes[None, :]
    return (same.sum(dim=1) == 1).sum()


def _own_class_where_unlabelled(labels: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
    """Labels in which every -1 has become a class of its own (-1, -2, ...)."""
    own = -1 - torch.arange(len(labels), device=labels.device)
    return torch.where(labels < 0, own, labels)


def _unit_rows(z: Float[Tensor, "view batch dim"]) -> Float[Tensor, "row dim"]:
    at_least_float32 = z if z.dtype in (torch.float32, torch.float64) else z.float()
    return F.normalize(at_least_float32.flatten(0, 1), dim=1)


def _checked(z: Tensor, labels: Tensor, temperature: float) -> tuple[int, int, int]:
    if z.ndim != 3:
        raise ValueError(f"z: want (views, samples, width), got shape {tuple(z.shape)}")
    views, batch, width = z.shape
    if labels.shape != (batch,):
        raise ValueError(f"labels: want one for each of the {batch} samples, got shape {tuple(labels.shape)}")
    if labels.is_floating_point():
        raise ValueError(f"labels: want integers, got {labels.dtype}")
    if not temperature > 0:
        raise ValueError(f"temperature: want more than 0, got {temperature}")
    return views, batch, width
