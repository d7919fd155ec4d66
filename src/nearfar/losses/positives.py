"""The positives that a cap keeps, as a short list for each anchor.

Letters: V views, M anchors, D projection width, P positives kept at most.
"""

from typing import Any

import torch
from torch import Tensor

from nearfar.losses.rows import Rows


def capped_positives(rows: Rows, views: int, cap: int) -> tuple[Tensor, Tensor]:
    """Logits (M, P) of each anchor's kept positives, -inf where there are fewer, and which of them
    exist.

    Kept are the other views of the anchor's own sample, and all views of the first `cap` / V other
    samples of its class in the order of the batch, ranks one after another.
    """
    places, kept = _places(rows, views, cap // views)
    # torch.compile wants two tensors where they are one
    anchors = rows.anchors.view_as(rows.anchors)
    logits: Tensor = _Products.apply(anchors, rows.candidates, places)
    return logits.masked_fill(~kept, -torch.inf), kept


class _Products(torch.autograd.Function):
    """(M, P) products of each anchor with the rows at its places, one place at a time: no
    positive's rows are kept.
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, candidates: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(anchors, candidates, places)
        return torch.stack(
            [(anchors * candidates[column]).sum(dim=1) for column in places.unbind(1)], dim=1
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        anchors, candidates, places = ctx.saved_tensors
        to_anchors, to_candidates = torch.zeros_like(anchors), torch.zeros_like(candidates)
        for of_place, column in zip(grad.unbind(1), places.unbind(1), strict=True):
            to_anchors = to_anchors + of_place[:, None] * candidates[column]
            to_candidates = to_candidates.index_add(0, column, of_place[:, None] * anchors)
        return to_anchors, to_candidates, None


def _places(rows: Rows, views: int, others: int) -> tuple[Tensor, Tensor]:
    """(M, P): places among the candidates, and whether there is such a positive (else 0)."""
    classes = rows.candidate_classes[: rows.samples]
    order = classes.argsort(stable=True)
    sizes = torch.zeros_like(classes).index_add(0, classes, torch.ones_like(classes))
    others = min(
        others, rows.samples - 1 if torch.compiler.is_compiling() else int(sizes.max()) - 1
    )
    starts = sizes.cumsum(0) - sizes
    within = torch.empty_like(classes)
    within[order] = torch.arange(rows.samples, device=classes.device) - starts[classes[order]]
    start, size, mine = starts[rows.classes], sizes[rows.classes], within[rows.sample]
    number = torch.arange(others, device=classes.device)[None]
    number = number + (number >= mine[:, None])  # the anchor's own sample is passed over
    exists = number < size[:, None]
    sample = order[torch.where(exists, start[:, None] + number, 0)]
    sample = torch.cat([rows.sample[:, None], sample], dim=1)
    exists = torch.cat([exists.new_ones(len(exists), 1), exists], dim=1)
    places = torch.cat([sample + view * rows.samples for view in range(views)], dim=1)
    kept = exists.repeat(1, views) & (places != rows.own[:, None])
    return torch.where(kept, places, 0), kept
