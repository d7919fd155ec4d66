import math

import pytest
import torch
import torchvision.transforms.v2 as tv2
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from nearfar.views.draws import view_keys
from nearfar.views.geometry import Boxes, centred_squares, compose, crop_boxes, warp_matrices
from nearfar.views.policies import Policy
from nearfar.views.warp.reference import resample

SIDES = st.integers(1, 400)


def keys_of(n: int, count: int = 1) -> torch.Tensor:
    index = torch.arange(n)
    return view_keys(count, seed=5, epoch=0, index=index, draw=torch.zeros_like(index))


def matrix(size, box=None, *, mirror=1.0, angle=0.0, zoom=1.0, shift=(0.0, 0.0)) -> torch.Tensor:
    """(1, 2, 3) for one image of that (width, height) and one box (left, top, width, height)."""
    boxes = Boxes(*(torch.tensor([[float(v)]]) for v in box or (0, 0, *size)))
    numbers = {"mirror": mirror, "angle": angle, "zoom": zoom, "shift_x": shift[0], "shift_y": shift[1]}
    return compose(
        boxes, torch.tensor([size]), **{k: torch.tensor([[float(v)]]) for k, v in numbers.items()}
    )[0]


def picture(side: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 3, side, side), generator=generator).float()


def smooth(side: int = 32) -> torch.Tensor:
    at = torch.linspace(0, 2 * math.pi, side)
    waves = (torch.sin(at)[:, None] + torch.cos(2 * at) + 2, torch.cos(at + 1)[:, None] * torch.sin(at) + 1)
    return torch.stack([60 * waves[0], 120 * waves[1], 30 * at + torch.zeros(side, 1)])[None]


def test_a_mirror_is_an_exact_flip():
    x = picture()
    assert torch.equal(resample(x, matrix((16, 16), mirror=-1), size=16), tv.horizontal_flip(x))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8))
def test_a_crop_at_its_own_size_is_the_pixels_themselves(left, top, side):
    x = picture()
    ours = resample(x, matrix((16, 16), (left, top, side, side)), size=side)
    assert torch.allclose(ours, tv.crop(x, top, left, side, side), atol=1e-2)  # grey levels


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_are_exact_and_turn_the_way_torchvision_does(quarter):
    x = picture()
    ours = resample(x, matrix((16, 16), angle=quarter * math.pi / 2), size=16)
    assert torch.allclose(ours, tv.rotate(x, 90 * quarter), atol=1e-2)


def test_rotation_zoom_and_shift_together_are_torchvisions_affine():
    x = smooth()
    ours = resample(x, matrix((32, 32), angle=0.3, zoom=1.25, shift=(2 / 32, -3 / 32)), size=32)
    theirs = tv.affine(
        x, -math.degrees(0.3), [2, -3], 1.25, [0, 0], interpolation=tv.InterpolationMode.BILINEAR
    )
    # torchvision turns and enlarges, then shifts the result
    inside = (slice(None), slice(None), slice(8, 24), slice(8, 24))
    assert (ours - theirs)[inside].abs().max() < 1


def test_a_resized_crop_is_torchvisions():
    x = smooth()
    ours = resample(x, matrix((32, 32), (5, 9, 18, 12)), size=24)
    theirs = tv.resized_crop(x, 9, 5, 12, 18, [24, 24], antialias=False)
    assert (ours - theirs)[..., 1:-1, 1:-1].abs().max() < 1


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.floats(-3, 3), st.floats(0.5, 2), st.sampled_from([-1.0, 1.0]), st.integers(1, 400))
def test_a_square_crop_is_never_sheared_in_the_true_frame(width, height, angle, zoom, mirror, side):
    m = matrix((width, height), (0, 0, side, side), angle=angle, zoom=zoom, mirror=mirror)[0, :, :2]
    true = m * torch.tensor([[width], [height]]) / side * zoom  # the store's square unsquashed
    assert torch.allclose(true.T @ true, torch.eye(2), atol=1e-4)
    assert torch.linalg.det(true) == pytest.approx(mirror, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.floats(0.01, 1), st.floats(0.1, 10))
def test_every_crop_lies_inside_its_image_and_has_whole_pixels(width, height, area, aspect):
    low, high = min(aspect, 1.3), max(aspect, 1.3)
    b = crop_boxes(keys_of(40), torch.tensor([[width, height]] * 40), area=(area, 1.0), aspect=(low, high))
    for start, length, whole in ((b.left, b.width, width), (b.top, b.height, height)):
        assert (start >= 0).all()
        assert (length >= 1).all()
        assert (start + length <= whole).all()
        assert torch.equal(start, start.round())
        assert torch.equal(length, length.round())


@pytest.mark.parametrize("size", [(32, 32), (300, 200), (50, 170)])
def test_crops_are_distributed_as_torchvisions(size):
    width, height = size
    n = 1500
    b = crop_boxes(keys_of(n), torch.tensor([size] * n), area=(0.08, 1.0), aspect=(3 / 4, 4 / 3))
    theirs = tv2.RandomResizedCrop(8, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = [theirs.make_params([torch.empty(3, height, width)]) for _ in range(n)]
    other = {key: torch.tensor([m[key] for m in made], dtype=torch.float32) for key in made[0]}
    noise = (
        torch.rand(2, n, generator=torch.Generator().manual_seed(0)) * 1e-3
    )  # breaks ties of whole numbers
    pairs = {
        "area": (b.width * b.height, other["width"] * other["height"]),
        "aspect": (b.width / b.height, other["width"] / other["height"]),
        "left": (b.left, other["left"]),
        "top": (b.top, other["top"]),
    }
    for name, (mine, yours) in pairs.items():
        assert ks_2samp(mine[0] + noise[0], yours + noise[1]).pvalue > 0.002, name


def test_crops_reach_every_place_equally_often():
    n = 1000
    b = crop_boxes(keys_of(n), torch.tensor([[4, 3]] * n), area=(1 / 3, 1 / 3), aspect=(1.0, 1.0))
    assert (b.width == 2).all()
    for start, places in ((b.left, 3), (b.top, 2)):
        counts = start.to(torch.int64).flatten().bincount(minlength=places)
        assert len(counts) == places
        assert (counts / n - 1 / places).abs().max() < 0.06
    together = torch.corrcoef(torch.cat([b.left, b.top]))[0, 1]
    assert together.abs() < 0.12


@pytest.mark.parametrize(
    ("size", "aspect", "box"),
    [
        ((1, 1000), (0.75, 4 / 3), (0, 499, 1, 1)),
        ((1000, 10), (0.75, 4 / 3), (493, 0, 13, 10)),
        ((10, 1000), (0.75, 4 / 3), (0, 493, 10, 13)),
        ((30, 20), (1.0, 1.0), (5, 0, 20, 20)),
        ((5, 1), (0.1, 0.2), (2, 0, 1, 1)),
        ((1, 5), (5.0, 10.0), (0, 2, 1, 1)),
    ],
)
def test_where_no_try_fits_the_crop_is_centred_as_torchvisions(size, aspect, box):
    b = crop_boxes(keys_of(1), torch.tensor([size]), area=(1.0, 1.0), aspect=aspect)
    assert tuple(v.item() for v in b) == box


def test_shift_angle_and_zoom_reach_their_ranges_and_no_further():
    n = 3000
    size = torch.tensor([[40, 40]] * n)
    m = warp_matrices(Policy(rotate_degrees=15, scale=(0.5, 2.0)), keys_of(n), size)[0]
    angle = torch.rad2deg(torch.atan2(m[:, 1, 0], m[:, 0, 0]))
    zoom = 1 / torch.linalg.det(m[:, :, :2]).sqrt()
    shifts = warp_matrices(Policy(shift=0.1), keys_of(n), size)[0, :, :, 2] / 2
    for values, low, high in ((angle, -15, 15), (shifts[:, 0], -0.1, 0.1), (shifts[:, 1], -0.1, 0.1)):
        assert values.mean().abs() < 0.05 * high
        assert low * 1.0001 <= values.min() < 0.99 * low
        assert 0.99 * high < values.max() <= high * 1.0001
    assert 0.499 < zoom.min() < 0.51
    assert 1.99 < zoom.max() < 2.001


def test_half_of_the_views_are_mirrored():
    m = warp_matrices(Policy(flip=0.5), keys_of(2000, count=2), torch.tensor([[40, 40]] * 2000))
    mirrored = m[..., 0, 0] < 0
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.03)
    assert (mirrored[0] != mirrored[1]).float().mean() == pytest.approx(0.5, abs=0.05)


def test_the_evaluation_square_is_centred_and_as_large_as_the_short_side():
    m = centred_squares(torch.tensor([[200, 100], [50, 100]]), crop=0.8)[0]
    assert torch.allclose(m[0], torch.tensor([[0.4, 0, 0], [0, 0.8, 0]]))
    assert torch.allclose(m[1], torch.tensor([[0.8, 0, 0], [0, 0.4, 0]]))
