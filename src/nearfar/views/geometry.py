"""Where a view lies in its image: crop, flip, rotation, shift and scale as one 2×3 matrix.

Everything is drawn in the image's true geometry (its own pixels) and only then mapped to the squashed square
of the store, so the squash never shears a view. The one distortion is the wanted one: a crop of aspect a is
stretched to a square, as everywhere.

A matrix takes a point of the view to a point of the stored square, both in [-1, 1] from edge to edge (not
from pixel centre to pixel centre), so that it holds for any side of view and store. From the view outwards:
mirror, crop box, shift, rotation and scale about the box's centre. Turning about the box's centre rather than
the image's keeps a view where its crop was drawn. What lies outside the image: see `warp.reference`.

Letters: V views, B samples.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.views.draws import between, draws
from nearfar.views.policies import Policy

_TRIES = 10


class Boxes(NamedTuple):
    """Crops in true pixels, whole numbers."""

    left: Float[Tensor, "view batch"]
    top: Float[Tensor, "view batch"]
    width: Float[Tensor, "view batch"]
    height: Float[Tensor, "view batch"]


def crop_boxes(
    keys: Int64[Tensor, "view batch"],
    size_px: Int64[Tensor, "batch 2"],
    *,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> Boxes:
    """Random crops with torchvision's RandomResizedCrop's distribution: ten tries, then the centre.

    Area is uniform, aspect log-uniform, the first of ten boxes that fits is taken, at a uniform place; where
    none fits, the largest centred box whose aspect is allowed. All tries are made at once.
    """
    width, height = size_px.to(torch.float32).T.unsqueeze(1).expand(2, *keys.shape)
    u = draws(keys, "crop", 2 * _TRIES + 2)
    share = between(*area, u[:_TRIES])
    ratio = torch.exp(between(math.log(aspect[0]), math.log(aspect[1]), u[_TRIES : 2 * _TRIES]))
    try_width = torch.round(torch.sqrt(width * height * share * ratio))
    try_height = torch.round(torch.sqrt(width * height * share / ratio))
    fits = (try_width > 0) & (try_width <= width) & (try_height > 0) & (try_height <= height)
    first = fits.to(torch.int8).argmax(0, keepdim=True)
    found = fits.any(0)
    widest = torch.minimum(width, torch.round(height * aspect[1]).clamp(min=1))
    highest = torch.minimum(height, torch.round(width / aspect[0]).clamp(min=1))
    box_width = torch.where(found, try_width.gather(0, first)[0], widest)
    box_height = torch.where(found, try_height.gather(0, first)[0], highest)
    left, top = (
        torch.where(found, torch.minimum(torch.floor(at * (space + 1)), space), torch.floor(space / 2))
        for at, space in ((u[-2], width - box_width), (u[-1], height - box_height))
    )
    return Boxes(left, top, box_width, box_height)


def warp_matrices(
    policy: Policy, keys: Int64[Tensor, "view batch"], size_px: Int64[Tensor, "batch 2"]
) -> Float[Tensor, "view batch 2 3"]:
    """One matrix for each view of each sample, from the view's square to the stored square."""
    boxes = crop_boxes(keys, size_px, area=policy.crop_area, aspect=policy.crop_aspect)
    mirror = torch.where(draws(keys, "flip", 1)[0] < policy.flip, -1.0, 1.0)
    turn = math.radians(policy.rotate_degrees)
    angle = between(-turn, turn, draws(keys, "rotate", 1)[0])
    zoom = between(*policy.scale, draws(keys, "scale", 1)[0])
    shift_x, shift_y = between(-policy.shift, policy.shift, draws(keys, "shift", 2))
    return compose(boxes, size_px, mirror=mirror, angle=angle, zoom=zoom, shift_x=shift_x, shift_y=shift_y)


def compose(
    boxes: Boxes,
    size_px: Int64[Tensor, "batch 2"],
    *,
    mirror: Float[Tensor, "view batch"],
    angle: Float[Tensor, "view batch"],
    zoom: Float[Tensor, "view batch"],
    shift_x: Float[Tensor, "view batch"],
    shift_y: Float[Tensor, "view batch"],
) -> Float[Tensor, "view batch 2 3"]:
    """The matrix of given parameters. `mirror` is 1 or -1; `angle` (radians) turns the picture anticlockwise;
    a `zoom` above 1 enlarges it; shifts then move it right and down, in fractions of its true sides.
    """
    width, height = size_px.to(torch.float32).T
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    right, down = shift_x * width, shift_y * height
    centre_x = (2 * boxes.left + boxes.width - 2 * (cos * right - sin * down)) / width - 1
    centre_y = (2 * boxes.top + boxes.height - 2 * (sin * right + cos * down)) / height - 1
    rows = (
        (mirror * cos * boxes.width / width, -sin * boxes.height / width, centre_x),
        (mirror * sin * boxes.width / height, cos * boxes.height / height, centre_y),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def centred_squares(size_px: Int64[Tensor, "batch 2"], crop: float) -> Float[Tensor, "1 batch 2 3"]:
    """The matrix of the evaluation view: the largest centred square times `crop`."""
    size = size_px.to(torch.float32)
    share = crop * size.amin(1, keepdim=True) / size
    return torch.nn.functional.pad(torch.diag_embed(share), (0, 1))[None]
