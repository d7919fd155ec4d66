"""What is set against what: the anchors, the candidates, and which candidates each anchor is summed over.

Letters: M anchors, N candidates, D projection width.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

# all: every candidate. others: all but the anchor itself. negatives: of other classes. positives: of its own class,
# without itself.
Over = Literal["all", "others", "negatives", "positives"]
Rows: TypeAlias = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class Pairs:
    """Rows no longer than 1, or any where the core is told so. Logits are scale * anchor.candidate."""

    anchors: Tensor  # (M, D) float32 or float64
    candidates: Tensor | None  # (N, D); None: the anchors against themselves, which is symmetric
    own: Tensor | None  # (M,) int64: the place of each anchor among the candidates, -1 for nowhere
    anchor_classes: Tensor | None  # (M,)
    candidate_classes: Tensor | None  # (N,)
    scale: float  # 1 / temperature
    over: Over
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
    def settings(self) -> tuple[float, Over, bool]:
        return self.scale, self.over, self.half

    def exclude(self, logits: Tensor, rows: slice, columns: slice) -> Tensor:
        """Sets to -inf, in place, what is not wanted in that block of the (M, N) logits."""
        if self.symmetric and self.over == "others":
            return logits.fill_diagonal_(-torch.inf) if rows == columns else logits
        if self.over in ("negatives", "positives"):
            assert self.anchor_classes is not None
            assert self.candidate_classes is not None
            same = self.anchor_classes[rows, None] == self.candidate_classes[columns]
            logits.masked_fill_(same if self.over == "negatives" else ~same, -torch.inf)
        if self.over in ("others", "positives"):
            assert self.own is not None
            column = self.own[rows, None] - columns.start
            here = (column >= 0) & (column < logits.shape[1])
            column = column.clamp(0, logits.shape[1] - 1)
            logits.scatter_(1, column, torch.where(here, -torch.inf, logits.gather(1, column)))
        return logits
