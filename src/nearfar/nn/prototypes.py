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

    Two published forms. SwAV's: prototypes have length 1 because `renormalize` is called after each
    step; their gradient is that of a linear layer, with the part along the prototype, which counts
    for momentum. DINO's, `free_length`: what is multiplied is divided by its length, so gradients
    turn a prototype and cannot stretch it; a step along them still makes it longer, and a longer
    one turns more slowly. They begin as a linear layer does, as its authors' begin.
    """

    def __init__(self, width: int, count: int, *, free_length: bool = False) -> None:
        super().__init__()
        self.free_length = free_length
        self.weight = nn.Parameter(
            nn.Linear(width, count, bias=False).weight.detach()
            if free_length
            else F.normalize(torch.randn(count, width), dim=-1)
        )

    def __len__(self) -> int:
        return len(self.weight)

    def forward(self, z: Float[Tensor, "*lead dim"]) -> Float[Tensor, "*lead proto"]:
        with torch.autocast(z.device.type, enabled=False):
            rows = z if z.dtype == torch.float64 else z.float()
            weight = F.normalize(self.weight, dim=-1) if self.free_length else self.weight
            scores: Tensor = F.normalize(rows, dim=-1) @ weight.T
            return scores

    @torch.no_grad()
    def renormalize(self) -> None:
        self.weight.copy_(F.normalize(self.weight, dim=-1))
