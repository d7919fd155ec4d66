"""Colour as one 3×4 matrix for each view, applied to (r, g, b, m): a pixel and the mean grey m of its view.

brightness b    x ↦ b·x
contrast c      x ↦ c·x + (1 - c)·m', where m' is the mean grey at that moment
saturation s    x ↦ s·x + (1 - s)·grey(x)
hue h           a turn by h about the grey axis in YIQ: linear, keeps grey(x). On purpose not torchvision's
                walk around the HSV hexagon, which is not linear and changes the grey value of a colour
grey            saturation 0

grey(x) = .299 r + .587 g + .114 b is the Y of YIQ, so contrast, saturation and hue leave the mean grey as it
is and brightness multiplies it by b. Hence the four commute, whatever order a sample would draw for them: the
composite is given below in closed form, and the order, which ColorJitter draws at random, has nothing to act
on. In torchvision it acts only through the clipping to [0, 1] after each operation; here the view is clipped
once, at the end, and m is taken before any of it. That is where the two differ: in strongly jittered views,
at pixels that leave [0, 1] on the way.

Letters: V views, B samples.
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.views.draws import between, draws
from nearfar.views.policies import Policy

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, also the first row of YIQ
_YIQ = torch.tensor([GREY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)], dtype=torch.float64)
_TURN = torch.tensor([[0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)  # red goes towards yellow
_TO_GREY = torch.tensor(GREY).expand(3, 3)
_COLOUR = torch.eye(3) - _TO_GREY  # what is left of a pixel without its grey
_COLOUR_TURNED = (torch.linalg.inv(_YIQ) @ _TURN @ _YIQ).to(torch.float32)  # the same a quarter turn on


def colour_matrices(
    policy: Policy, keys: Int64[Tensor, "view batch"]
) -> Float[Tensor, "view batch 3 4"] | None:
    """One matrix for each view of each sample; None for a policy that leaves colour alone."""
    if policy.grey == 0 and policy.jitter == 0:
        return None
    on = draws(keys, "jitter", 1)[0] < policy.jitter
    u = draws(keys, "colour", 4)
    brightness, contrast, saturation = (
        torch.where(on, between(max(0.0, 1 - amplitude), 1 + amplitude, u[i]), 1.0)
        for i, amplitude in enumerate((policy.brightness, policy.contrast, policy.saturation))
    )
    hue = torch.where(on, between(-policy.hue, policy.hue, u[3]), 0.0)
    grey = draws(keys, "grey", 1)[0] < policy.grey
    return compose(brightness, contrast, torch.where(grey, 0.0, saturation), hue)


def compose(
    brightness: Float[Tensor, "*shape"],
    contrast: Float[Tensor, "*shape"],
    saturation: Float[Tensor, "*shape"],
    hue: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape 3 4"]:
    """The four operations in any order, as one matrix; a factor of 1 and a turn of 0 change nothing."""
    to_grey, colour, turned = (m.to(hue.device) for m in (_TO_GREY, _COLOUR, _COLOUR_TURNED))
    angle = 2 * math.pi * hue[..., None, None]
    mixed = to_grey + saturation[..., None, None] * (torch.cos(angle) * colour + torch.sin(angle) * turned)
    pivot = (brightness * (1 - contrast))[..., None, None].expand(*hue.shape, 3, 1)
    return torch.cat([(brightness * contrast)[..., None, None] * mixed, pivot], -1)
