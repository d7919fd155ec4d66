"""Near copies: which images show one picture, cropped, mirrored, turned, stretched, recolored or
saved again.

Candidates come from descriptors (small gray pictures, each as it is and as copies of it would be,
compared by cosine), and a pair counts where one picture, laid over the other by an affine map that
is fitted to both, shows the same detail. No weights are needed.
Letters: n images, T transformations, P pairs, S side of a gray picture (px). Coordinates are in
[-1, 1], x to the right, as in torch's affine_grid; a map takes places of the second picture of a
pair to places of the first.
"""

from dataclasses import dataclass
from functools import partial
from math import cos, radians, sin, sqrt

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.progress import Progress

SIDE = 64  # px, of the gray pictures in which detail is compared
SMALLEST_PX = 24  # of an image's sides; in smaller ones there is no detail to compare
_FINE_FROM_PX = 48  # of both sides; detail of smaller images is compared in coarse pictures
_COARSE, _DESCRIBED = 32, 16  # px: where maps are first fitted, and of descriptors
_NEIGHBORS = 8  # candidates that each image proposes
_LIKE = 0.75  # least cosine of a candidate's descriptors
_STEPS = (5, 3)  # of fitting: coarse, fine
_DETAIL = 0.9  # least correlation of details
_WORTH_A_LOOK = 0.8  # the same of coarse details, to fit a map to the fine ones
_TONES = 0.9  # and of all that is seen
_OVERLAP = 0.25  # least share of the second picture that the first one covers
_CONTRAST = 0.02  # least standard deviation of gray there, in [0, 1]
_MOST_STRETCH, _LARGEST, _MOST_TURN = 1.6, 3.0, 0.6  # of a map: of one way, of area; sine of turn
_IMAGES_AT_ONCE, _PAIRS_AT_ONCE = 32, 512


@dataclass(frozen=True, eq=False)
class NearCopies:
    """Pairs of rows, the smaller first, each once; `likeness` in [0, 1], the highest first."""

    pairs: Int64[np.ndarray, "pair 2"]
    likeness: Float[np.ndarray, " pair"]

    @classmethod
    def none(cls) -> "NearCopies":
        return cls(np.empty((0, 2), np.int64), np.empty(0))


def gray_picture(square: UInt8[np.ndarray, "side side 3"]) -> UInt8[np.ndarray, "64 64"]:
    """A stored square as pairs are compared in it."""
    gray = Image.fromarray(square).convert("L")
    return np.asarray(gray.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def near_copies(
    pictures: UInt8[np.ndarray, "n 64 64"],
    sizes_px: Int64[np.ndarray, "n 2"],
    progress: Progress,
) -> NearCopies:
    """All pairs among images of these true sizes; O(n²), in tiles."""
    large = np.flatnonzero((sizes_px >= SMALLEST_PX).all(axis=1))
    if len(large) < 2:
        return NearCopies.none()
    gray = torch.from_numpy(pictures[large])
    sizes = torch.from_numpy(sizes_px[large])
    pairs, begun = _candidates(gray, _maps_of_copies(sizes), progress)
    if not len(pairs):
        return NearCopies.none()
    likeness = torch.empty(len(pairs))
    with progress.bar(len(pairs), "comparing pairs") as bar:
        for part in torch.split(torch.arange(len(pairs)), _PAIRS_AT_ONCE):
            rows = pairs[part]
            likeness[part] = _likeness(gray[rows], begun[part], sizes[rows])
            bar.advance(len(part))
    return _each_once(torch.from_numpy(large)[pairs[likeness > 0]], likeness[likeness > 0])


def _each_once(pairs: Int64[Tensor, "pair 2"], likeness: Float[Tensor, " pair"]) -> NearCopies:
    order = likeness.argsort(descending=True, stable=True)
    ordered = pairs[order].sort(dim=1).values.numpy()
    _, first = np.unique(ordered, axis=0, return_index=True)
    first = np.sort(first)
    return NearCopies(ordered[first], likeness[order].numpy()[first])


def _maps_of_copies(sizes_px: Int64[Tensor, "n 2"]) -> Float[Tensor, "n copy 2 3"]:
    """As it is, mirrored, four fifths of it in nine places, and turned by 8, 16 and 24 degrees
    either way: in its frame, in a frame around it, taken out of such a frame, and cut to what is
    whole.
    """
    kept = sqrt(0.8)
    places = [x * (1 - kept) for x in (-1, 0, 1)]
    maps = [[(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)], [(-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)]]
    maps += [[(kept, 0, x), (0, kept, y)] for x in places for y in places]
    wide = sizes_px[:, 0] / sizes_px[:, 1]
    turned = []
    for degrees in (-24, -16, -8, 8, 16, 24):
        c, s = cos(radians(degrees)), sin(radians(degrees))
        around = torch.stack([c + abs(s) / wide, c + abs(s) * wide])
        out_of = torch.stack([c - abs(s) / wide, c - abs(s) * wide]).clamp(min=0.2) / (c**2 - s**2)
        whole = 1 / around.amax(dim=0).expand(2, -1)
        for width, height in (torch.ones_like(around), around, out_of, whole):  # in the image's
            nothing = torch.zeros_like(wide)
            x = torch.stack([c * width, -s * height / wide, nothing], dim=1)
            y = torch.stack([s * width * wide, c * height, nothing], dim=1)
            turned.append(torch.stack([x, y], dim=1))
    unturned = torch.tensor(maps).expand(len(sizes_px), -1, -1, -1)
    return torch.cat([unturned, torch.stack(turned, dim=1)], dim=1)


def _candidates(
    gray: UInt8[Tensor, "n 64 64"], maps: Float[Tensor, "n copy 2 3"], progress: Progress
) -> tuple[Int64[Tensor, "pair 2"], Float[Tensor, "pair 2 3"]]:
    """Of each image those whose descriptor is nearest to that of a copy of it, with the copy's
    map.
    """
    small = torch.cat([_descriptors(part, None) for part in torch.split(gray, 1024)])
    pairs, begun, cosine = [], [], []
    with progress.bar(len(gray), "looking for near copies") as bar:
        for rows in torch.split(torch.arange(len(gray)), _IMAGES_AT_ONCE):
            copies = _descriptors(gray[rows], maps[rows])
            cosines = (copies.flatten(0, 1) @ small.T).view(*copies.shape[:2], -1).amax(dim=1)
            cosines[torch.arange(len(rows)), rows] = -1
            best, where = cosines.topk(min(_NEIGHBORS, len(gray) - 1), dim=1)
            which, place = torch.nonzero(best > _LIKE, as_tuple=True)
            others = where[which, place]
            copy = (copies[which] @ small[others][:, :, None]).argmax(dim=1)[:, 0]
            pairs.append(torch.stack([rows[which], others], dim=1))
            begun.append(maps[rows[which], copy])
            cosine.append(best[which, place])
            bar.advance(len(rows))
    order = torch.cat(cosine).argsort(descending=True, stable=True)
    return once_onto_the_smaller(torch.cat(pairs)[order], torch.cat(begun)[order])


def once_onto_the_smaller(
    pairs: Int64[Tensor, "found 2"], maps: Float[Tensor, "found 2 3"]
) -> tuple[Int64[Tensor, "pair 2"], Float[Tensor, "pair 2 3"]]:
    """The first mention of each pair, so turned that its map does not enlarge the first picture:
    what is enlarged lacks detail.
    """
    _, first = np.unique(pairs.sort(dim=1).values.numpy(), axis=0, return_index=True)
    pairs, maps = pairs[first], maps[first]
    enlarged = torch.linalg.det(maps[:, :, :2]).abs() < 1
    last_row = torch.tensor([0.0, 0.0, 1.0]).expand(len(maps), 1, 3)
    back = torch.linalg.inv(torch.cat([maps, last_row], dim=1))[:, :2]
    return (
        torch.where(enlarged[:, None], pairs.flip(1), pairs),
        torch.where(enlarged[:, None, None], back, maps),
    )


def _descriptors(
    gray: UInt8[Tensor, "image 64 64"], maps: Float[Tensor, "image copy 2 3"] | None
) -> Float[Tensor, "image *copy dim"]:
    """Unit rows: 16 x 16 px of gray less its mean, the middle weighing most; of each copy, or of
    the image as it is.
    """
    pictures = F.avg_pool2d(gray[:, None].float(), 2)
    pictures -= pictures.mean(dim=(2, 3), keepdim=True)  # of what lies outside nothing is known
    if maps is None:
        seen = F.avg_pool2d(pictures, 2)[:, 0]
    else:
        copies = maps.shape[1]
        size = [len(gray) * copies, 1, _DESCRIBED, _DESCRIBED]
        grid = F.affine_grid(maps.flatten(0, 1), size, align_corners=False)
        seen = _sampled(pictures, grid.view(len(gray), copies * _DESCRIBED, _DESCRIBED, 2))
        seen = seen.view(len(gray), copies, _DESCRIBED, _DESCRIBED)
    x, y = _places(_DESCRIBED)
    weights = torch.exp(-(x**2 + y**2) / (2 * 0.6**2))
    rows = seen.flatten(-2)
    rows = rows - (rows @ weights)[..., None] / weights.sum()
    return F.normalize(rows * weights, dim=-1)


def _places(side: int) -> Float[Tensor, "2 pixel"]:
    """x and y of every pixel's center."""
    centers = (torch.arange(side) + 0.5) / side * 2 - 1
    return torch.stack([centers.repeat(side), centers.repeat_interleave(side)])


_sampled = partial(F.grid_sample, mode="bilinear", padding_mode="zeros", align_corners=False)


def _likeness(
    pictures: UInt8[Tensor, "pair 2 64 64"],
    maps: Float[Tensor, "pair 2 3"],
    sizes_px: Int64[Tensor, "pair 2 2"],
) -> Float[Tensor, " pair"]:
    """Correlation of details once the first picture is laid over the second, of fine ones where
    both have them; 0: no copies.
    """
    fine = pictures.float() / 255
    coarse = F.avg_pool2d(fine, SIDE // _COARSE)
    maps = _fitted(coarse, maps, _STEPS[0])
    detail, agrees = _judged(coarse, maps)
    has_fine_detail = (sizes_px >= _FINE_FROM_PX).all(dim=(1, 2))
    left = torch.nonzero((detail > _WORTH_A_LOOK) & agrees & has_fine_detail)[:, 0]
    if len(left):
        maps[left] = _fitted(fine[left], maps[left], _STEPS[1])
        detail[left], agrees[left] = _judged(fine[left], maps[left])
    found = agrees & (detail > _DETAIL) & _is_of_a_copy(maps, sizes_px)
    return torch.where(found, detail, 0)


def _laid_over(
    first: Float[Tensor, "pair side side"], maps: Float[Tensor, "pair 2 3"]
) -> tuple[Float[Tensor, "pair pixel"], Float[Tensor, "pair pixel"]]:
    """The first picture as it lies over each pixel of the second, and 1 where it does, more than a
    pixel from the edges of both: where a copy was turned, its edges run into its filled corners.
    """
    side = first.shape[-1]
    grid = F.affine_grid(maps, [len(first), 1, side, side], align_corners=False)
    inside = (grid.abs() <= 1 - 3 / side).all(dim=-1).flatten(1)
    inside &= (_places(side).abs() <= 1 - 3 / side).all(dim=0)
    return _sampled(first[:, None], grid).flatten(1), inside.float()


def _fitted(
    pictures: Float[Tensor, "pair 2 side side"], maps: Float[Tensor, "pair 2 3"], steps: int
) -> Float[Tensor, "pair 2 3"]:
    """The maps after so many Gauss-Newton steps on the squared difference of standardized grays.

    Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd, inverse compositional: the
    steepest descent of the second picture is computed once.
    """
    first, second = pictures[:, 0], pictures[:, 1]
    side = second.shape[-1]
    x, y = _places(side)
    down, right = torch.gradient(second, spacing=2 / side, dim=(1, 2))
    right, down = right.flatten(1), down.flatten(1)
    _, inside = _laid_over(first, maps)
    target, deviation = _standardized(second.flatten(1), inside)
    slopes = [right * x, right * y, right, down * x, down * y, down]
    descent = torch.stack(slopes, dim=1) * (inside / deviation)[:, None]
    hessian = descent @ descent.transpose(1, 2)
    damping = 1e-3 * hessian.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-6
    inverse = torch.linalg.inv(hessian + damping[:, None, None] * torch.eye(6))
    last_row = torch.tensor([0.0, 0.0, 1.0]).expand(len(maps), 1, 3)
    for _ in range(steps):
        over, inside = _laid_over(first, maps)
        target, _ = _standardized(second.flatten(1), inside)
        over, _ = _standardized(over, inside)
        move = inverse @ (descent @ ((over - target) * inside)[:, :, None])
        moved = torch.cat([move.view(-1, 2, 3).clamp(-0.15, 0.15) + torch.eye(2, 3), last_row], 1)
        maps = maps @ torch.linalg.inv(moved)
    return maps


def _standardized(
    values: Float[Tensor, "pair pixel"], weights: Float[Tensor, "pair pixel"]
) -> tuple[Float[Tensor, "pair pixel"], Float[Tensor, "pair 1"]]:
    """Less their mean and by their deviation, which comes with them; weights are 0 or 1."""
    count = weights.sum(dim=1, keepdim=True).clamp(min=1)
    centered = values - (values * weights).sum(dim=1, keepdim=True) / count
    deviation = ((centered.square() * weights).sum(dim=1, keepdim=True) / count).sqrt()
    return centered / deviation.clamp(min=1e-4), deviation.clamp(min=1e-4)


def _judged(
    pictures: Float[Tensor, "pair 2 side side"], maps: Float[Tensor, "pair 2 3"]
) -> tuple[Float[Tensor, " pair"], Bool[Tensor, " pair"]]:
    """Correlation of details where the pictures lie over each other; and whether tones agree there,
    and there is enough to see.
    """
    over, inside = _laid_over(pictures[:, 0], maps)
    second = pictures[:, 1].flatten(1)
    _, contrast = _standardized(second, inside)
    agrees = (_correlation(over, second, inside) > _TONES) & (contrast[:, 0] > _CONTRAST)
    agrees &= inside.mean(dim=1) > _OVERLAP
    return _correlation(_detail(over, inside), _detail(second, inside), inside), agrees


def _correlation(
    a: Float[Tensor, "pair pixel"],
    b: Float[Tensor, "pair pixel"],
    weights: Float[Tensor, "pair pixel"],
) -> Float[Tensor, " pair"]:
    a, b = _standardized(a, weights)[0], _standardized(b, weights)[0]
    return (a * b * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _detail(
    values: Float[Tensor, "pair pixel"], inside: Float[Tensor, "pair pixel"]
) -> Float[Tensor, "pair pixel"]:
    """Less the mean of the 7 x 7 px around, as far as they are inside."""
    side = int(values.shape[1] ** 0.5)

    def mean_around(one: Float[Tensor, "pair pixel"]) -> Float[Tensor, "pair pixel"]:
        across = F.avg_pool2d(one.view(-1, 1, side, side), (1, 7), 1, (0, 3))
        return F.avg_pool2d(across, (7, 1), 1, (3, 0)).flatten(1)

    return values - mean_around(values * inside) / mean_around(inside).clamp(min=1e-3)


def _is_of_a_copy(
    maps: Float[Tensor, "pair 2 3"], sizes_px: Int64[Tensor, "pair 2 2"]
) -> Bool[Tensor, " pair"]:
    """In true proportions: neither sheared, enlarged nor turned beyond what a copy is."""
    wide = (sizes_px[:, :, 0] / sizes_px[:, :, 1])[:, :, None]
    true = maps[:, :, :2].clone()
    true[:, 0] *= wide[:, 0]
    true[:, :, 0] /= wide[:, 1]
    stretches = torch.linalg.svdvals(true)
    even = stretches[:, 0] < _MOST_STRETCH * stretches[:, 1]
    area = torch.linalg.det(maps[:, :, :2]).abs()
    turn = true[:, [0, 1], [1, 0]].abs().amax(dim=1) / stretches[:, 0]
    alike = (area < _LARGEST) & (area > 1 / _LARGEST)
    return torch.logical_and(even & alike, turn < _MOST_TURN)
