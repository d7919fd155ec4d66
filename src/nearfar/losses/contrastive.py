"""Softmax-contrastive losses: every pair of rows is compared, and no matrix of all pairs is ever
held.

Rows are brought to length 1 here, and everything is computed in at least float32, under autocast
too; only for bf16 rows on a CUDA device are products taken in bf16, with float32 sums. With a
`group` every rank returns the loss of the whole batch, and DDP's averaged gradient is that of one
rank with all of it.

Letters: V views, B samples, N = V * B rows, D projection width, Q rows of a queue.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.ranks import Group
from nearfar.losses.checks import check_views, check_whole, check_word
from nearfar.losses.choices import Contrast, Denominator, Form, Negatives
from nearfar.losses.labels import Labels, QueueLabels, taken_labels
from nearfar.losses.positives import capped_positives
from nearfar.losses.precision import full_precision, takes_half
from nearfar.losses.rows import Rows, gather_rows, mean_over, numbered, own_classes, unit_rows
from nearfar.losses.temperature import Temperature, largest_logit, taken_temperature
from nearfar.losses.tiled import one_positive, statistics
from nearfar.losses.tiled.pairs import Over


def sup_con(
    z: Float[Tensor, "view batch dim"],
    labels: Labels,
    *,
    temperature: Temperature,
    form: Form = "outside",
    contrast: Contrast = "all_views",
    denominator: Denominator = "all",
    positives_cap: int | None = None,
    queue: Float[Tensor, "queue dim"] | None = None,
    queue_labels: QueueLabels | None = None,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Supervised contrastive loss: each row finds its class among all rows. Nats; in [0, inf) with
    all in the denominator.

    Khosla et al. 2020, arXiv:2004.11362, eq. 2 (`form` "outside", L_out) and eq. 3 ("inside",
    L_in), as a mean over anchors instead of a sum, with P(i) the other rows of the class of i and
    A(i) all other rows:
        L_out = mean_i of -1/|P(i)| sum_{p in P(i)} log( exp(z_i.z_p / t) / sum_{a in A(i)}
        exp(z_i.z_a / t) )
        L_in  = mean_i of -log( 1/|P(i)| sum_{p in P(i)} exp(z_i.z_p / t) / sum_{a in A(i)}
          exp(z_i.z_a / t) )
    L_in <= L_out; L_out is the better loss (78.7 against 67.4 % on ImageNet, the paper's table 1).
    No factor of t or of a base temperature is applied. The options are those of the authors' code:
    `contrast` "one_view" takes only rows of the first view as anchors, against all rows.
    `denominator` "only_negatives" sums over other classes alone (then the loss may be negative, and
    an anchor without a negative is left out too); "one_positive" over those and the positive of the
    numerator. `positives_cap`, a multiple of V, keeps so many positives of other samples (the first
    in the order of the batch, so this alone depends on it) beside all views of the anchor's own.
    `queue` (Q, D) with `queue_labels` joins what every row is set against, the positives among them
    (the paper's form with a memory); none of it is an anchor. With ranks it is the same on each.
    `temperature` may be a tensor of one value, which gets its exact gradient.

    A label of -1 makes the sample its own class: with labels all -1 this is `info_nce`. An anchor
    without a positive (its class has one row) contributes nothing, and the mean is over the anchors
    that have one; see `count_anchors_without_positive`. Time O(N^2 D), memory O(N D).

    Raises ValueError: wrong rank or length, labels that are no integers, a temperature that is not
    positive or more than one value, an unknown word, a row that is not finite, a queue of another
    width or without labels or together with a cap, or no anchor with a positive on any rank.
    """
    check_views(z)
    labels = taken_labels(labels, z.shape[1], z.device)
    _check_queue(queue, z.shape[2])
    if (queue is None) != (queue_labels is None):
        raise ValueError("queue: want rows and queue_labels together, got one")
    if queue is not None and positives_cap is not None:
        raise ValueError(f"positives_cap: want none beside a queue, got {positives_cap}")
    known = None
    if queue is not None and queue_labels is not None:
        known = taken_labels(queue_labels, len(queue), z.device, name="queue_labels")
    temperature = taken_temperature(temperature, z)
    check_word("form", form, Form)
    check_word("contrast", contrast, Contrast)
    check_word("denominator", denominator, Denominator)
    if positives_cap is not None:
        _check_cap(positives_cap, len(z))
    with full_precision(z):
        anchor_views = 1 if contrast == "one_view" else None
        rows = gather_rows(
            unit_rows(z, group=group),
            labels,
            group,
            temperature=temperature,
            anchor_views=anchor_views,
            half=takes_half(z),
            queue=None if queue is None else unit_rows(queue, name="queue", group=group),
            queue_labels=known,
        )
        of_class = rows.rows_of_class()
        if positives_cap is None:
            counted = of_class > 1
            terms = _terms(rows, of_class - 1, form, denominator)
        else:
            terms, counted = _capped_terms(rows, len(z), positives_cap, form, denominator)
        if denominator == "only_negatives":
            counted = counted & (of_class < len(rows.candidates))
        return mean_over(
            terms, counted, group, nothing=_no_anchor(len(z), rows.samples, denominator)
        )


def _terms(rows: Rows, positives: Tensor, form: Form, denominator: Denominator) -> Tensor:
    """(M,) the loss of each anchor; what stands for anchors that do not count is never used."""
    few = positives.clamp(min=1).to(rows.anchors.dtype)
    if denominator == "one_positive":
        inside = form == "inside"
        sums = one_positive(
            rows.anchors,
            rows.candidates,
            rows.statistics("negatives")[0],
            own=rows.own,
            anchor_classes=rows.classes,
            candidate_classes=rows.candidate_classes,
            inside=inside,
        )
        return few.log() - sums if inside else sums / few
    over: Over = "others" if denominator == "all" else "negatives"
    if form == "inside":
        whole, of_positives = rows.statistics(over, "log_sum_exp")
        return whole - of_positives + few.log()
    whole, of_positives = rows.statistics(over, "mean")
    return whole - of_positives


def _capped_terms(
    rows: Rows, views: int, cap: int, form: Form, denominator: Denominator
) -> tuple[Tensor, Tensor]:
    """(M,) the loss of each anchor over its kept positives, and whether it has one."""
    logits, kept = capped_positives(rows, views, cap)
    negatives = rows.statistics("negatives")[0][:, None]
    if denominator == "all":
        rest = torch.logaddexp(negatives, logits.logsumexp(dim=1, keepdim=True))
    else:
        rest = torch.logaddexp(negatives, logits) if denominator == "one_positive" else negatives
    few = kept.sum(dim=1).clamp(min=1).to(logits.dtype)
    logs = torch.where(kept, logits - rest, 0.0)
    if form == "inside":
        return few.log() - torch.where(kept, logs, -torch.inf).logsumexp(dim=1), kept.any(dim=1)
    return -logs.sum(dim=1) / few, kept.any(dim=1)


def info_nce(
    z: Float[Tensor, "view batch dim"],
    *,
    temperature: Temperature,
    negatives: Negatives = "all_rows",
    queue: Float[Tensor, "queue dim"] | None = None,
    group: Group = None,
) -> Float[Tensor, ""]:
    """InfoNCE: each view of a sample finds its other views among the negatives. In [0, inf), nats.

    `negatives` says among what: "all_rows": NT-Xent, Chen et al. 2020, arXiv:2002.05709, eq. 1, for
    V >= 2 views (`sup_con` in which each sample is
        its own class): the mean over rows i and their other views p of
        -log( exp(z_i.z_p / t) / sum_{a != i} exp(z_i.z_a / t) ).
    "other_view": two towers (CLIP's symmetric loss, MoCo v3 without its factor 2t): rows of one
    view against the rows
        of one other, mean over ordered pairs of views.
    "queue": MoCo, He et al. 2020, arXiv:1911.05722, eq. 1: rows of view 0 are queries, other views
    their keys, the
        queue alone holds negatives. Detach the keys.

    `queue` (Q, D) joins the negatives of every anchor; with ranks it is the same on each. Rows of
    both are brought to length 1 here. `temperature` may be a tensor of one value, which gets its
    exact gradient (CLIP learns the logarithm of its inverse: pass `(-log_scale).exp()`). Time O(N
    (N + Q) D), memory O((N + Q) D).

    Raises ValueError: wrong rank or width, a single view, a temperature that is not positive or
    more than one value, an unknown word, "queue" without a queue, or a row that is not finite.
    """
    check_views(z, fewest_views=2)
    temperature = taken_temperature(temperature, z)
    check_word("negatives", negatives, Negatives)
    if negatives == "queue" and (queue is None or len(queue) == 0):
        raise ValueError(f'queue: want rows (n, {z.shape[2]}) with negatives="queue", got none')
    _check_queue(queue, z.shape[2])
    with full_precision(z):
        unit = unit_rows(z, group=group)
        more = None
        if queue is not None:
            more = unit_rows(queue, name="queue", group=group).to(unit.dtype) * temperature**-0.5
        if negatives == "queue":
            assert more is not None
            query, keys = unit[0] * temperature**-0.5, unit[1:] * temperature**-0.5
            to_queue, _ = statistics(
                query, more, largest=largest_logit(temperature), over="all", half=takes_half(z)
            )
            return mean_over(-F.logsigmoid((query * keys).sum(dim=-1) - to_queue), None, group)
        rows = gather_rows(unit, None, group, temperature=temperature, half=takes_half(z))
        return (
            _nt_xent(rows, more, group)
            if negatives == "all_rows"
            else _two_towers(rows, len(z), more, group)
        )


def _nt_xent(rows: Rows, queue: Tensor | None, group: Group) -> Tensor:
    whole, of_positives = rows.statistics("others", "mean")
    if queue is not None:
        to_queue, _ = statistics(
            rows.anchors, queue, largest=rows.largest, over="all", half=rows.half
        )
        whole = torch.logaddexp(whole, to_queue)
    return mean_over(whole - of_positives, None, group)


def _two_towers(rows: Rows, views: int, queue: Tensor | None, group: Group) -> Tensor:
    """Each view against each other one, in which the partner is the one positive."""
    numbers, partners = rows.numbers, torch.arange(rows.samples, device=rows.numbers.device)
    terms = []
    for i, anchors in enumerate(rows.anchors.view(views, len(numbers), -1)):
        for j, candidates in enumerate(rows.candidates.view(views, rows.samples, -1)):
            if i == j:
                continue
            whole, to_partner = statistics(
                anchors,
                candidates,
                largest=rows.largest,
                over="all",
                positives="mean",
                anchor_classes=numbers,
                candidate_classes=partners,
                half=rows.half,
            )
            if queue is not None:
                to_queue, _ = statistics(
                    anchors, queue, largest=rows.largest, over="all", half=rows.half
                )
                whole = torch.logaddexp(whole, to_queue)
            terms.append(whole - to_partner)
    return mean_over(torch.stack(terms), None, group)


def count_anchors_without_positive(views: int, labels: Labels) -> Int[Tensor, ""]:
    """How many of the V * B rows share their class with no other row: what `sup_con` leaves out of
    its mean.
    """
    labels = taken_labels(labels, None, torch.device("cpu"))
    if views > 1:
        return torch.zeros((), dtype=torch.int64, device=labels.device)
    classes = numbered(own_classes(labels))
    sizes = torch.zeros_like(classes).index_add(0, classes, torch.ones_like(classes))
    return (sizes == 1).sum()


def _check_queue(queue: Tensor | None, width: int) -> None:
    if queue is not None and (queue.ndim != 2 or queue.shape[1] != width):
        raise ValueError(f"queue: want (rows, {width}), got shape {tuple(queue.shape)}")


def _check_cap(cap: object, views: int) -> None:
    # with one view and none of other samples there is none
    check_whole(1 if views == 1 else 0, positives_cap=cap)
    assert isinstance(cap, int)
    if cap % views:
        raise ValueError(f"positives_cap: want a multiple of the {views} view(s), got {cap}")


def _no_anchor(views: int, samples: int, denominator: Denominator) -> str:
    negative = " and a negative" if denominator == "only_negatives" else ""
    return (
        f"labels: want at least one sample with a positive{negative}, got none ({views} view(s) of"
        f" {samples} samples); give two views or more samples of a class"
    )
