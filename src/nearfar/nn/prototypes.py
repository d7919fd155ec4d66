"""Prototypes: directions that samples are assigned to.

Letters: D projection width, K prototypes.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@final
class Prototypes(nn.Module):
    """K directions; rows (..., D) become their cosines (..., K), in at least float32.

    A prototype's length never matters, so gradients turn it and cannot stretch it. A step along
    them still makes it longer, and a longer one turns more slowly: `renormalize` brings all back to
    length 1.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(count, width), dim=-1))

    def __len__(self) -> int:
        return len(self.weight)

    def forward(self, z: Float[Tensor, "*lead dim"]) -> Float[Tensor, "*lead proto"]:
        with torch.autocast(z.device.type, enabled=False):
            rows = z if z.dtype == torch.float64 else z.float()
            scores: Tensor = F.normalize(rows, dim=-1) @ F.normalize(self.weight, dim=-1).T
            return scores

    @torch.no_grad()
    def renormalize(self) -> None:
        self.weight.copy_(F.normalize(self.weight, dim=-1))
