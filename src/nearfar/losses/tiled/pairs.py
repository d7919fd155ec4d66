"""What is set against what: the anchors, the candidates, and what is wanted of their logits.

Letters: M anchors, N candidates, D projection width.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

# every candidate; all but the anchor itself; those of other classes
Over = Literal["all", "others", "negatives"]
# of the logits of an anchor's own class, without itself
Positives = Literal["none", "mean", "log_sum_exp"]
Rows: TypeAlias = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]
Settings: TypeAlias = tuple[Over, Positives, bool]


@dataclass(frozen=True)
class Pairs:
    """A logit is the product of an anchor and a candidate, temperature and all."""

    anchors: Tensor  # (M, D) float32 or float64
    candidates: Tensor | None  # (N, D); None: the anchors against themselves, which is symmetric
    # (M,) int64: the place of each anchor among the candidates, -1 for nowhere; None if symmetric
    own: Tensor | None
    anchor_classes: Tensor | None  # (M,) int64 from 0 to below N, where classes matter
    candidate_classes: Tensor | None  # (N,)
    over: Over
    positives: Positives
    half: bool = False  # products in bf16, where there is a kernel for it

    @property
    def symmetric(self) -> bool:
        return self.candidates is None

    @property
    def against(self) -> Tensor:
        return self.anchors if self.candidates is None else self.candidates

    @property
    def rows(self) -> Rows:
        return self.anchors, self.candidates, self.own, self.anchor_classes, self.candidate_classes

    @property
    def settings(self) -> Settings:
        return self.over, self.positives, self.half

    @property
    def looks_at_classes(self) -> bool:
        return self.over == "negatives" or self.positives != "none"

    def is_own(self, rows: slice, columns: slice) -> Tensor | None:
        """Which pairs of that block are a row and itself; None where surely none is."""
        if self.symmetric:
            n = rows.stop - rows.start
            return (
                torch.eye(n, dtype=torch.bool, device=self.anchors.device)
                if rows == columns
                else None
            )
        if self.own is None:
            return None
        return self.own[rows, None] == torch.arange(
            columns.start, columns.stop, device=self.anchors.device
        )

    def is_same_class(self, rows: slice, columns: slice) -> Tensor:
        """Which pairs of that block are of one class, a row and itself included."""
        assert self.anchor_classes is not None
        assert self.candidate_classes is not None
        return self.anchor_classes[rows, None] == self.candidate_classes[columns]

    def own_stands_among(self) -> Tensor:
        """(M,) 1 where the anchor itself is among the candidates, else 0."""
        if self.symmetric:
            return torch.ones(len(self.anchors), dtype=torch.int64, device=self.anchors.device)
        if self.own is None:
            return torch.zeros(len(self.anchors), dtype=torch.int64, device=self.anchors.device)
        return (self.own >= 0).to(torch.int64)

    def number_of_positives(self) -> Tensor:
        """(M,): how many other candidates share an anchor's class."""
        assert self.anchor_classes is not None
        assert self.candidate_classes is not None
        sizes = torch.zeros_like(self.candidate_classes)
        sizes.index_add_(0, self.candidate_classes, torch.ones_like(self.candidate_classes))
        return sizes[self.anchor_classes] - self.own_stands_among()
