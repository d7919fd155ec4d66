"""The target network: a frozen copy that follows the online network at a distance.

Letters: V views, B samples, D projection width.
"""

import copy
import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.nn.encoders import Encoder, encode_views


@final
class TargetNetwork(nn.Module):
    """A copy of an encoder and a projector that gets no gradient; `move` brings it nearer to the online one.

    Only parameters are averaged, as in the public code of DINO, MoCo v3 and solo-learn. BatchNorm's buffers move by
    the target's own forward: in training mode it normalises by its own batch, as the online network does.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.projector = copy.deepcopy(projector)
        self.requires_grad_(False)

    @torch.no_grad()  # nothing is kept for a backward, whatever the views came from
    def forward(self, views: tuple[Float[Tensor, "_ batch channel _ _"], ...]) -> Float[Tensor, "views batch dim"]:
        """The projections of all views, without gradient."""
        projection: Tensor = self.projector(encode_views(self.encoder, views))
        return projection

    @torch.no_grad()
    def move(self, encoder: Encoder, projector: nn.Module, *, momentum: float) -> None:
        """target <- momentum * target + (1 - momentum) * online. Momentum 0 copies, 1 stays."""
        for mine, online in ((self.encoder, encoder), (self.projector, projector)):
            for kept, new in zip(mine.parameters(), online.parameters(), strict=True):
                kept.lerp_(new, 1 - momentum)


def rising_momentum(base: float, progress: float) -> float:
    """From `base` at the start of a run to 1 at its end, by a half cosine.

    Grill et al. 2020 (BYOL), arXiv:2006.07733, section 3.2: 1 - (1 - base) (cos(pi progress) + 1) / 2.
    """
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2
