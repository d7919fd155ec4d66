"""The core in its dense form, M x N memory: the readable definition, fast for small batches, twice differentiable."""

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.losses.tiled.pairs import Pairs


def log_sum_exp(pairs: Pairs) -> Tensor:
    """(M,): log of the sum of exp(logit) over the candidates wanted; -inf where there are none."""
    logits = (pairs.anchors * pairs.scale) @ pairs.against.T
    if pairs.symmetric and pairs.over == "others" and len(logits) > 1:
        return logits.fill_diagonal_(-torch.inf).logsumexp(dim=1)
    logits = logits + _unwanted(pairs, logits)
    nothing = logits.isneginf().all(dim=1)
    return logits.masked_fill(nothing[:, None], 0.0).logsumexp(dim=1).masked_fill(nothing, -torch.inf)


def one_positive(pairs: Pairs, negatives: Tensor, *, inside: bool) -> Tensor:
    """(M,): the sum over positives p of softplus(negatives - logit_p), or, `inside`, of sigmoid(logit_p - negatives).

    `negatives` (M,) is the log-sum-exp over an anchor's negatives; the sigmoid is the share of one positive among
    itself and all negatives, the softplus its negative logarithm.
    """
    logits = (pairs.anchors * pairs.scale) @ pairs.against.T
    positive = _unwanted(pairs, logits) == 0
    ahead = torch.where(positive, logits - negatives[:, None], 0.0)
    terms = torch.sigmoid(ahead) if inside else F.softplus(-ahead)
    return torch.where(positive, terms, 0.0).sum(dim=1)


def _unwanted(pairs: Pairs, logits: Tensor) -> Tensor:
    """0 for the pairs wanted, else -inf."""
    whole = slice(0, logits.shape[0]), slice(0, logits.shape[1])
    return pairs.exclude(torch.zeros_like(logits), *whole)
