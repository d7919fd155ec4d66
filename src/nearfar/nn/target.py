"""The target network: a frozen copy that follows the online network at a distance.

Letters: V views, B samples, D projection width.
"""

import copy
import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.nn.encoders import BatchNormGroups, Encoder, encode_views
from nearfar.nn.heads import Head


@final
class TargetNetwork(nn.Module):
    """A copy of an encoder, a projector and what else is named, without gradient; `move` brings it
    nearer to them.

    Only parameters are averaged, as in the public code of DINO, MoCo v3 and solo-learn. BatchNorm's
    buffers move by the target's own forward: in training mode it normalizes by its own batch, as
    the online network does, in groups of `batch_norm_groups`.
    """

    encoder: Encoder
    projector: nn.Module

    def __init__(
        self,
        encoder: Encoder,
        projector: nn.Module,
        *,
        batch_norm_groups: BatchNormGroups = "all",
        **more: nn.Module,
    ) -> None:
        super().__init__()
        self.batch_norm_groups: BatchNormGroups = batch_norm_groups
        for name, part in {"encoder": encoder, "projector": projector, **more}.items():
            self.add_module(name, copy.deepcopy(part))
        self.requires_grad_(False)

    @torch.no_grad()  # nothing is kept for a backward, whatever the views came from
    def forward(
        self, views: tuple[Float[Tensor, "_ batch ..."], ...]
    ) -> Float[Tensor, "views batch dim"]:
        """All views through all parts in their order, without gradient: their projections, where no
        more is named.
        """
        groups = self.batch_norm_groups
        out = encode_views(self.encoder, views, batch_norm_groups=groups)
        for part in list(self.children())[1:]:
            out = part(out, batch_norm_groups=groups) if isinstance(part, Head) else part(out)
        return out

    @torch.no_grad()
    def move(self, online: nn.Module, *, momentum: float) -> None:
        """target <- momentum * target + (1 - momentum) * online. Momentum 0 copies, 1 stays.

        `online`, the method, has the copied parts under the same names.
        """
        new = dict(online.named_parameters())
        for name, kept in self.named_parameters():
            kept.lerp_(new[name], 1 - momentum)


def rising_momentum(base: float, progress: float) -> float:
    """From `base` at the start of a run to 1 at its end, by a half cosine.

    Grill et al. 2020 (BYOL), arXiv:2006.07733, section 3.2: 1 - (1 - base) (cos(pi progress) + 1) /
    2.
    """
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2
