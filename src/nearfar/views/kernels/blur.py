"""Gaussian blur in plain torch, each row with its own sigma, on any device.

Sums of shifted pictures, across and then down: no convolution and no matrix product, whose
algorithm a library may choose by the number of rows. So a row is the same bits whatever stands
beside it.

Letters: R rows, S side (px).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_NO_SIGMA = 1e-6  # px: every weight but the middle one is 0


def blur(
    pixels: Float[Tensor, "rows 3 size size"], sigma_px: Float[Tensor, " rows"], radius: int
) -> Float[Tensor, "rows 3 size size"]:
    """Weights exp(-t² / 2σ²) for t in -radius..radius, made to sum to 1, along both sides. Sigma 0
    changes nothing.

    torchvision's `gaussian_blur` with a kernel of 2·radius + 1: the picture is mirrored at the
    middle of its edge pixels. A radius of S or more would need pixels that are not there: S - 1 is
    taken instead.
    """
    radius = min(radius, pixels.shape[-1] - 1)
    if radius <= 0:
        return pixels
    sigma = sigma_px.clamp(min=_NO_SIGMA)[:, None, None, None]
    weights = [torch.exp(-0.5 * (t / sigma) ** 2) for t in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])  # term by term, in one order for every row
    weights = [weight / total for weight in weights]
    for dim, padding in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        wide = F.pad(pixels, padding, mode="reflect")
        size = pixels.shape[dim]
        pixels = weights[0] * pixels
        for t in range(1, radius + 1):
            both = wide.narrow(dim, radius - t, size) + wide.narrow(dim, radius + t, size)
            pixels.addcmul_(weights[t], both)
    return pixels
