"""The core in its dense form, M x N memory: the readable definition, fast for small batches, twice
differentiable.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.losses.tiled.pairs import Pairs


def statistics(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """(M,) twice. First the log-sum-exp of an anchor's logits over the candidates wanted, -inf
    where there are none; then the mean of its positives' logits (0 where there are none) or their
    log-sum-exp (-inf), or nothing.
    """
    logits = pairs.anchors @ pairs.against.T
    if pairs.symmetric and pairs.over == "others":  # the same, with fewer passes over the matrix
        return _among_others(pairs, logits.fill_diagonal_(-torch.inf))
    own, same = _masks(pairs, logits)
    whole = _log_sum_exp(logits, {"all": None, "others": own, "negatives": same}[pairs.over])
    if pairs.positives == "none":
        return whole, logits.new_empty(0)
    assert same is not None
    return whole, _of_positives(pairs, logits, same if own is None else same & ~own)


def _among_others(pairs: Pairs, logits: Tensor) -> tuple[Tensor, Tensor]:
    """A batch against itself, the diagonal of its logits at -inf."""
    if pairs.positives == "none":
        return logits.logsumexp(dim=1), logits.new_empty(0)
    everything = slice(0, len(logits))
    positive = pairs.is_same_class(everything, everything).fill_diagonal_(False)
    return logits.logsumexp(dim=1), _of_positives(pairs, logits, positive)


def _of_positives(pairs: Pairs, logits: Tensor, positive: Tensor) -> Tensor:
    if pairs.positives == "log_sum_exp":
        return _log_sum_exp(logits, ~positive)
    return torch.where(positive, logits, 0.0).sum(dim=1) / pairs.number_of_positives().clamp(min=1)


def one_positive(pairs: Pairs, negatives: Tensor, *, inside: bool) -> Tensor:
    """(M,): with log_share_p = logsigmoid(logit_p - negatives), the sum of -log_share_p over an
    anchor's positives p, or, `inside`, the log of the sum of exp(log_share_p), -inf for none.

    `negatives` (M,) is the log-sum-exp over an anchor's negatives: a share is of one positive among
    itself and them.
    """
    logits = pairs.anchors @ pairs.against.T
    own, same = _masks(pairs, logits)
    assert same is not None
    positive = same if own is None else same & ~own
    log_shares = F.logsigmoid(torch.where(positive, logits - negatives[:, None], 0.0))
    return (
        _log_sum_exp(log_shares, ~positive)
        if inside
        else -torch.where(positive, log_shares, 0.0).sum(dim=1)
    )


def _masks(pairs: Pairs, logits: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Which pairs are a row and itself, and which are of one class, where that matters."""
    whole = slice(0, logits.shape[0]), slice(0, logits.shape[1])
    return pairs.is_own(*whole), pairs.is_same_class(*whole) if pairs.looks_at_classes else None


def _log_sum_exp(logits: Tensor, unwanted: Tensor | None) -> Tensor:
    """-inf for rows with nothing wanted, whose gradient torch makes 0."""
    return (logits if unwanted is None else logits.masked_fill(unwanted, -torch.inf)).logsumexp(
        dim=1
    )
