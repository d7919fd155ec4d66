"""The core under every softmax-contrastive loss: a log-sum-exp over pairs of rows, without the matrix of all pairs.

The dense form serves small batches, a Triton kernel CUDA devices, tiles in plain torch the rest. Through the dense form
second derivatives are right, through the others torch refuses them.

Letters: M anchors, N candidates, D projection width.
"""

import math

import torch
from torch import Tensor

from nearfar.losses.tiled import operators, reference
from nearfar.losses.tiled.pairs import Over, Pairs

__all__ = ["log_sum_exp", "one_positive"]

DENSE_UP_TO = 256**2  # pairs
LARGEST_EXPONENT = {torch.float32: 80.0, torch.float64: 700.0}  # of sums that are normal numbers, as their inverses are


def log_sum_exp(
    anchors: Tensor,
    candidates: Tensor | None = None,
    *,
    temperature: float,
    over: Over = "others",
    own: Tensor | None = None,
    anchor_classes: Tensor | None = None,
    candidate_classes: Tensor | None = None,
    bounded: bool = True,
    half: bool = False,
) -> Tensor:
    """(M,): log of the sum of exp(anchor.candidate / temperature) over the candidates wanted; -inf for none.

    `anchors` (M, D) and `candidates` (N, D) are float32 or float64; rows are no longer than 1 (`bounded`), or of any
    length. Without `candidates` the anchors are set against themselves, over all but "all". `own` (M,) int64 says where
    among the candidates each anchor itself stands (-1: nowhere); classes are integers. `half` allows products in bf16
    where a CUDA kernel serves.
    """
    pairs = _pairs(anchors, candidates, own, anchor_classes, candidate_classes, temperature, over, half)
    count = len(pairs.against)
    if len(anchors) * count <= DENSE_UP_TO:
        return reference.log_sum_exp(pairs)
    largest = pairs.scale + math.log(max(count, 1))
    return operators.log_sum_exp(pairs, safe=not bounded or largest > LARGEST_EXPONENT[anchors.dtype])


def one_positive(
    anchors: Tensor,
    candidates: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    own: Tensor,
    anchor_classes: Tensor,
    candidate_classes: Tensor,
    inside: bool,
) -> Tensor:
    """(M,): see `reference.one_positive`."""
    pairs = _pairs(anchors, candidates, own, anchor_classes, candidate_classes, temperature, "positives", half=False)
    if len(anchors) * len(candidates) <= DENSE_UP_TO:
        return reference.one_positive(pairs, negatives, inside=inside)
    return operators.one_positive(pairs, negatives, inside=inside)


def _pairs(
    anchors: Tensor,
    candidates: Tensor | None,
    own: Tensor | None,
    anchor_classes: Tensor | None,
    candidate_classes: Tensor | None,
    temperature: float,
    over: Over,
    half: bool,
) -> Pairs:
    """Only what `over` looks at goes along."""
    if candidates is None:
        assert over != "all"
        candidate_classes, own = anchor_classes, torch.arange(len(anchors), device=anchors.device)
    if over in ("all", "others"):
        anchor_classes = candidate_classes = None
    if over in ("all", "negatives") or (candidates is None and over == "others"):
        own = None
    return Pairs(anchors, candidates, own, anchor_classes, candidate_classes, 1 / temperature, over, half)
