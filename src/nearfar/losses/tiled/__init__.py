"""The core under every softmax-contrastive loss: sums over pairs of rows, without the matrix of all
pairs.

The dense form serves small batches, a Triton kernel CUDA devices, tiles in plain torch the rest.
Through the dense form second derivatives are right, through the others they are refused.

Letters: M anchors, N candidates, D projection width.
"""

import math

import torch
from torch import Tensor

from nearfar.losses.tiled import operators, questions, reference
from nearfar.losses.tiled.pairs import Over, Pairs, Positives

__all__ = ["one_positive", "pair_questions", "statistics"]

DENSE_UP_TO = 512**2  # pairs
# of sums that are normal numbers, as their inverses are
LARGEST_EXPONENT = {torch.float32: 80.0, torch.float64: 700.0}


def statistics(
    anchors: Tensor,
    candidates: Tensor | None = None,
    *,
    largest: float,
    over: Over = "others",
    positives: Positives = "none",
    own: Tensor | None = None,
    anchor_classes: Tensor | None = None,
    candidate_classes: Tensor | None = None,
    half: bool = False,
) -> tuple[Tensor, Tensor]:
    """(M,) twice: log of the sum of exp(anchor.candidate) over the candidates wanted (-inf for
    none); and of each anchor's positives the mean logit (0 for none) or the log-sum-exp (-inf), or
    nothing: one gradient for both.

    `anchors` (M, D) and `candidates` (N, D) are float32 or float64, their products at most
    `largest` (inf is allowed). Without `candidates` the anchors are set against themselves. `own`
    (M,) int64 says where among the candidates each anchor itself stands (-1 or no `own`: nowhere);
    classes are int64 from 0 to below N. `half` allows products in bf16 where a CUDA kernel serves.
    """
    rows = (anchors, candidates, own, anchor_classes, candidate_classes)
    pairs = _needed(Pairs(*rows, over, positives, half))
    count = len(pairs.against)
    if len(anchors) * count <= DENSE_UP_TO:
        return reference.statistics(pairs)
    return operators.statistics(
        pairs, safe=largest + math.log(count) > LARGEST_EXPONENT[anchors.dtype]
    )


def one_positive(
    anchors: Tensor,
    candidates: Tensor,
    negatives: Tensor,
    *,
    own: Tensor,
    anchor_classes: Tensor,
    candidate_classes: Tensor,
    inside: bool,
) -> Tensor:
    """(M,): see `reference.one_positive`."""
    rows = (anchors, candidates, own, anchor_classes, candidate_classes)
    pairs = _needed(Pairs(*rows, "all", "mean"))
    if len(anchors) * len(candidates) <= DENSE_UP_TO:
        return reference.one_positive(pairs, negatives, inside=inside)
    return operators.one_positive(pairs, negatives, inside=inside)


def pair_questions(
    anchors: Tensor, candidates: Tensor, bias: Tensor, *, partners: Tensor
) -> Tensor:
    """(M,): see `questions.dense`. `partners` (M,) int64 are the places of the anchors' own
    candidates.
    """
    pairs = _needed(Pairs(anchors, candidates, partners, None, None, "all", "none"))
    if len(anchors) * len(candidates) <= DENSE_UP_TO:
        return questions.dense(pairs, bias)
    return operators.pair_questions(pairs, bias)


def _needed(pairs: Pairs) -> Pairs:
    """Only what is looked at goes along."""
    own, of_anchors, of_candidates = pairs.own, pairs.anchor_classes, pairs.candidate_classes
    if pairs.symmetric:
        of_candidates, own = of_anchors, None
    if not pairs.looks_at_classes:
        of_anchors = of_candidates = None
    rows = (pairs.anchors, pairs.candidates, own, of_anchors, of_candidates)
    return Pairs(*rows, *pairs.settings)
