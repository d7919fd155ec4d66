"""From colors in sRGB to CIE Lab."""

import torch
from jaxtyping import Float
from torch import Tensor

# IEC 61966-2-1: linear sRGB to XYZ, by the white point D65.
TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)


def lab(rgb: Float[Tensor, "*lead 3 height width"]) -> Float[Tensor, "*lead 3 height width"]:
    """L from 0 to 100, a and b, of sRGB in [0, 1] (what lies outside is taken to the border)."""
    rgb = rgb.clamp(0, 1)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = rgb.new_tensor(TO_XYZ)
    xyz = torch.einsum("ij,...jhw->...ihw", matrix / matrix.sum(dim=1, keepdim=True), linear)
    cube = torch.where(
        xyz > (6 / 29) ** 3, xyz.clamp(min=1e-4) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29
    )
    x, y, z = cube.unbind(dim=-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)
