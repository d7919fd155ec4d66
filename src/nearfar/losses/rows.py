"""Rows: of length 1, their classes, those of other ranks, the mean of their terms.

Letters: V views, B samples of this rank, N rows (views x samples) of all ranks, M anchors of this
rank, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.core.errors import NothingToCompareError
from nearfar.core.ranks import Group, all_sum, gather, placement
from nearfar.losses.checks import check_finite
from nearfar.losses.precision import at_least_float32
from nearfar.losses.temperature import largest_logit
from nearfar.losses.tiled import statistics
from nearfar.losses.tiled.pairs import Over, Positives


def unit_rows(x: Tensor, *, name: str = "z", group: Group = None) -> Tensor:
    """Rows along the last dimension brought to length 1, in at least float32; a row of zeros stays,
    gradient 0. So does a row whose square is no number of that format (of float32: shorter than
    2e-19).

    ValueError: a row that is not finite, on any rank (its place is named). Under torch.compile
    nothing is looked at.
    """
    x = at_least_float32(x)
    # a norm and its inverse: their gradient is no larger than 1 / length on the way either, where
    # that of a root of squares is its cube
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    check_finite(length.detach().squeeze(-1), name, group)
    alive = length > 2 * torch.finfo(x.dtype).tiny ** 0.5
    # of the lengths alone: a choice or a division of whole rows costs twice the time
    return x * torch.where(alive, torch.where(alive, length, 1.0).reciprocal(), 0.0)


def own_classes(labels: Tensor, start: int = 0) -> Tensor:
    """Labels in which every negative one has become a class of its own; `start` is the first
    sample's number.
    """
    own = -1 - start - torch.arange(len(labels), device=labels.device)
    return torch.where(labels < 0, own, labels.to(torch.int64))


def numbered(classes: Tensor) -> Tensor:
    """The same classes as numbers from 0 to below their count, without a shape that depends on
    values.
    """
    ordered, order = classes.sort(stable=True)
    steps = torch.zeros_like(ordered)
    steps[1:] = ordered[1:] != ordered[:-1]
    steps = steps.cumsum(0)
    return torch.empty_like(steps).scatter(0, order, steps)


@dataclass(frozen=True)
class Rows:
    """This rank's anchors and what they are set against: the rows of all ranks, view by view;
    products are logits.
    """

    anchors: Tensor  # (M, D)
    candidates: Tensor  # (N, D); the same tensor as `anchors` where those are all there are
    classes: Tensor  # (M,) numbered over all ranks
    candidate_classes: Tensor  # (N,)
    numbers: Tensor  # (B,) of this rank's samples among those of all ranks
    samples: int  # of all ranks
    largest: float  # bound of the logits
    half: bool = False  # products may be taken in bf16

    @property
    def anchor_views(self) -> int:
        return len(self.anchors) // len(self.numbers)

    @property
    def sample(self) -> Tensor:
        """(M,): the number of each anchor's sample."""
        return self.numbers.repeat(self.anchor_views)

    @property
    def own(self) -> Tensor:
        """(M,): the place of each anchor among the candidates."""
        return torch.cat([self.numbers + view * self.samples for view in range(self.anchor_views)])

    def statistics(self, over: Over, positives: Positives = "none") -> tuple[Tensor, Tensor]:
        """The core on these rows, symmetric where the anchors are all candidates."""
        alone = self.anchors is self.candidates
        return statistics(
            self.anchors,
            None if alone else self.candidates,
            largest=self.largest,
            over=over,
            positives=positives,
            own=None if alone else self.own,
            anchor_classes=self.classes,
            candidate_classes=self.candidate_classes,
            half=self.half,
        )

    def rows_of_class(self) -> Tensor:
        """(M,): how many of all rows share an anchor's class, itself included."""
        return torch.zeros_like(self.candidate_classes).index_add(
            0, self.candidate_classes, torch.ones_like(self.candidate_classes)
        )[self.classes]


def gather_rows(
    unit: Tensor,
    labels: Tensor | None,
    group: Group,
    *,
    temperature: float | Tensor,
    bounded: bool = True,
    anchor_views: int | None = None,
    half: bool = False,
    queue: Tensor | None = None,
    queue_labels: Tensor | None = None,
) -> Rows:
    """The rows of `unit` (V, B, D) as anchors (those of the first `anchor_views`), and all ranks'
    rows, divided by the root of the temperature so that their products are logits; `bounded`: they
    had length 1.

    Without labels each sample is its own class. A labeled `queue` (Q, D) follows the candidates.
    Collective where there is a group.
    """
    views, samples, _ = unit.shape
    unit = unit * temperature**-0.5
    used = anchor_views or views
    of = placement(samples, group, unit.device)
    own_samples = torch.arange(of.start, of.stop, device=unit.device)
    if labels is None:
        sample_classes = torch.arange(of.total, device=unit.device)
    else:
        known = gather(own_classes(labels, of.start), of, group)
        if queue_labels is not None:
            known = torch.cat([known, own_classes(queue_labels, of.total)])
        classes = numbered(known)
        sample_classes, queue_classes = classes[: of.total], classes[of.total :]
    candidates = gather(unit, of, group, dim=1).flatten(0, 1)
    whole = group is None and used == views and queue is None
    candidate_classes = sample_classes.repeat(views)
    if queue is not None:
        candidates = torch.cat([candidates, queue.to(unit.dtype) * temperature**-0.5])
        candidate_classes = torch.cat([candidate_classes, queue_classes])
    return Rows(
        anchors=candidates if whole else unit[:used].flatten(0, 1),
        candidates=candidates,
        classes=candidate_classes if whole else sample_classes[own_samples].repeat(used),
        candidate_classes=candidate_classes,
        numbers=own_samples,
        samples=of.total,
        largest=largest_logit(temperature) if bounded else float("inf"),
        half=half,
    )


def mean_over(terms: Tensor, counted: Tensor | None, group: Group, *, nothing: str = "") -> Tensor:
    """The mean of the counted terms of all ranks. NothingToCompareError(`nothing`) where none is
    counted anywhere.

    Under torch.compile that case is NaN, because no value is looked at.
    """
    if counted is None:
        total, count = terms.sum(), torch.full((), terms.numel(), device=terms.device)
    else:
        total, count = torch.where(counted, terms, 0.0).sum(), counted.sum()
    count = all_sum(count, group)
    if nothing and not torch.compiler.is_compiling() and int(count) == 0:
        raise NothingToCompareError(nothing)
    return all_sum(total, group) / count


def weighted_mean(terms: Tensor, weights: Tensor, group: Group) -> Tensor:
    """The sum of terms that hold their weights already, over the sum of the weights, of all
    ranks.
    """
    return all_sum(terms.sum(), group) / all_sum(weights.sum(), group)
