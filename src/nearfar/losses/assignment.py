"""Losses on assignments to prototypes, predicted from the other views: balanced by Sinkhorn-Knopp,
or by a center.

Letters: V views, B samples, K prototypes, Q rows of a queue.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.ranks import Group, all_max, all_sum
from nearfar.losses.checks import check_finite, check_positive, check_views, check_whole
from nearfar.losses.precision import at_least_float32, full_precision
from nearfar.losses.rows import mean_over


def swapped_prediction(
    scores: Float[Tensor, "view batch proto"],
    *,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    rounds: int = 3,
    assigning_views: int | None = None,
    queue: Float[Tensor, "assigning queue proto"] | None = None,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Each view predicts the balanced assignments of every other view. In [0, inf), nats; chance is
    log K.

    Caron et al. 2020 (SwAV), arXiv:2006.09882, eq. 1 and 2, as a mean over the assigning views v
    (the first `assigning_views`: the large crops; default all) and the other views w of -sum_k q_v
    log softmax(scores_w / t). `scores` are products of unit rows with unit prototypes. Assignments
    q are `sinkhorn`'s over the samples of all ranks, with no gradient; `queue` holds earlier scores
    of each assigning view, which join the balancing alone.

    Raises ValueError: wrong rank, a single view, numbers that are not positive, more assigning
    views than views, a queue of another shape, a score that is not finite.
    """
    check_views(scores, name="scores", fewest_views=2)
    check_positive(temperature=temperature, epsilon=epsilon)
    check_whole(1, rounds=rounds)
    views, samples, prototypes = scores.shape
    assigning = views if assigning_views is None else assigning_views
    check_whole(1, assigning_views=assigning)
    if assigning > views:
        raise ValueError(f"assigning_views: want 1 to {views} (the views), got {assigning}")
    if queue is not None and (
        queue.ndim != 3 or (len(queue), queue.shape[2]) != (assigning, prototypes)
    ):
        raise ValueError(
            f"queue: want ({assigning}, rows, {prototypes}), got shape {tuple(queue.shape)}"
        )
    with full_precision(scores):
        scores = at_least_float32(scores)
        check_finite(scores.detach().square().sum(dim=-1), "scores", group)
        if queue is not None:
            check_finite(at_least_float32(queue.detach()).square().sum(dim=-1), "queue", group)
        logs = F.log_softmax(scores / temperature, dim=-1)
        terms = []
        for v in range(assigning):
            known = (
                scores[v] if queue is None else torch.cat([scores[v], queue[v].to(scores.dtype)])
            )
            wanted = _balanced(known, epsilon, rounds, group)[:samples]
            terms += [-(wanted * logs[w]).sum(dim=-1) for w in range(views) if w != v]
        return mean_over(torch.stack(terms), None, group)


def centered_prediction(
    scores: Float[Tensor, "view batch proto"],
    target_scores: Float[Tensor, "assigning batch proto"],
    *,
    center: Float[Tensor, " proto"],
    temperature: float = 0.1,
    target_temperature: float = 0.04,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Each view predicts a target network's sharp and centered assignment of every other view. In
    [0, inf), nats.

    Caron et al. 2021 (DINO), arXiv:2104.14294, eq. 1 to 3: the mean over assigning views v (the
    first views, whose `target_scores` are given) and other views w of -sum_k q_v,k log
    softmax(scores_w / t)_k with q_v = softmax((target_scores_v - center) / target t), which gets no
    gradient. Chance is log K.

    Raises ValueError: wrong rank, a single view, other samples or prototypes in the target or its
    center, more assigning views than views, temperatures that are not positive, a score that is not
    finite.
    """
    check_views(scores, name="scores", fewest_views=2)
    check_views(target_scores, name="target_scores")
    check_positive(temperature=temperature, target_temperature=target_temperature)
    if target_scores.shape[1:] != scores.shape[1:] or len(target_scores) > len(scores):
        shape = tuple(scores.shape)
        raise ValueError(
            f"target_scores: want shape {shape} or fewer views of it, got"
            f" {tuple(target_scores.shape)}"
        )
    if center.shape != scores.shape[2:]:
        raise ValueError(
            f"center: want ({scores.shape[2]},), one for each prototype, got {tuple(center.shape)}"
        )
    with full_precision(scores):
        scores, known = at_least_float32(scores), at_least_float32(target_scores.detach())
        check_finite(scores.detach().square().sum(dim=-1), "scores", group)
        check_finite(known.square().sum(dim=-1), "target_scores", group)
        wanted = F.softmax((known - center.detach().to(known.dtype)) / target_temperature, dim=-1)
        logs = F.log_softmax(scores / temperature, dim=-1)
        pairs = [(v, w) for v in range(len(wanted)) for w in range(len(scores)) if v != w]
        return mean_over(
            torch.stack([-(wanted[v] * logs[w]).sum(dim=-1) for v, w in pairs]), None, group
        )


def sinkhorn(
    scores: Float[Tensor, "batch proto"], *, epsilon: float, rounds: int, group: Group = None
) -> Float[Tensor, "batch proto"]:
    """Assignments of samples to prototypes, each sample's summing to 1, each prototype's to nearly
    B / K; no gradient.

    Cuturi 2013, arXiv:1306.0895, as SwAV uses it: exp(scores / epsilon), then `rounds` times
    prototypes are brought to equal shares and samples to 1, over the samples of all ranks. In
    logarithms, so that no score is too large.

    Raises ValueError: wrong rank, no sample, numbers that are not positive, a score that is not
    finite.
    """
    if scores.ndim != 2 or min(scores.shape) < 1:
        raise ValueError(
            "scores: want (samples, prototypes), at least one each, got shape"
            f" {tuple(scores.shape)}"
        )
    check_positive(epsilon=epsilon)
    check_whole(1, rounds=rounds)
    check_finite(at_least_float32(scores.detach()).square().sum(dim=-1), "scores", group)
    return _balanced(scores, epsilon, rounds, group)


def _balanced(scores: Tensor, epsilon: float, rounds: int, group: Group) -> Tensor:
    with torch.no_grad(), full_precision(scores):
        logs = at_least_float32(scores) / epsilon
        for _ in range(rounds):
            logs = logs - _log_sum_over_samples(logs, group)
            logs = logs - logs.logsumexp(dim=1, keepdim=True)
        return logs.exp()


def _log_sum_over_samples(logs: Tensor, group: Group) -> Tensor:
    """(K,) over the samples of all ranks."""
    largest = all_max(logs.amax(dim=0), group)
    return largest + all_sum((logs - largest).exp().sum(dim=0), group).log()
