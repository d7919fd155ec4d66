"""Each operation, by way of a policy that holds it alone, against torchvision's functional of the
same name.

Stated are the largest and the mean difference in gray levels; 1 of them is 1/255.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from views_pictures import (
    NORMAL,
    RAW,
    WHERE,
    boxes_of,
    params_of,
    pictures,
    policy,
    shown,
    store,
    views_of,
)

from nearfar.views import operations
from nearfar.views.kernels import draw as drawing
from nearfar.views.making import ViewPlan
from nearfar.views.operations import (
    AddBrightness,
    Autocontrast,
    Blur,
    Brightness,
    Contrast,
    Crop,
    Cutout,
    Equalize,
    Erase,
    Flip,
    Gray,
    Hue,
    Invert,
    Jitter,
    Operation,
    Posterize,
    Rotate,
    Saturation,
    Scale,
    Sharpness,
    Shear,
    Solarize,
    SolarizeAdd,
    Translate,
)
from nearfar.views.params import GRAY, ViewParams

SIDE = 32
BILINEAR = InterpolationMode.BILINEAR
BACKENDS = ("cpu", "reference")
EXACT = (0.01, 0.001)  # largest and mean difference
INSIDE = (slice(None), slice(None), slice(2, -2), slice(2, -2))


def fixed(name: str, at: float, **more: Any) -> Operation:
    """The operation with one number, not a range."""
    kinds = {
        "brightness": Brightness,
        "contrast": Contrast,
        "saturation": Saturation,
        "sharpness": Sharpness,
    }
    return kinds[name](factor=(at, at), **more)


def angle(slope: float) -> float:
    return math.degrees(math.atan(slope))


def affine(x: Tensor, **wanted: Any) -> Tensor:
    """Black outside without a seam: given a fill, torchvision darkens the seam a second time."""
    numbers = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **wanted}
    return tv.affine(x, interpolation=BILINEAR, fill=None, **numbers)


# name: operation, torchvision's of values in [0, 1] (or of bytes), largest and mean difference
Theirs = Callable[[Tensor], Tensor]
OF_FLOATS: dict[str, tuple[Operation, Theirs, tuple[float, float]]] = {
    "flip": (Flip(probability=1), tv.horizontal_flip, (0, 0)),
    "flip vertical": (Flip(probability=1, axis="vertical"), tv.vertical_flip, (0, 0)),
    "quarter turn": (Rotate(degrees=(90, 90)), lambda x: tv.rotate(x, 90), EXACT),
    "half turn": (Rotate(degrees=(-180, -180)), lambda x: tv.rotate(x, -180), EXACT),
    "rotate 30": (Rotate(degrees=(30, 30)), lambda x: tv.rotate(x, 30, BILINEAR), EXACT),
    "rotate -77": (Rotate(degrees=(-77, -77)), lambda x: tv.rotate(x, -77, BILINEAR), EXACT),
    "shear x": (
        Shear(axis="x", slope=(0.3, 0.3)),
        lambda x: affine(x, shear=[angle(0.3), 0], center=[0, 0]),
        EXACT,
    ),
    "shear y": (
        Shear(axis="y", slope=(-0.2, -0.2)),
        lambda x: affine(x, shear=[0, angle(-0.2)], center=[0, 0]),
        EXACT,
    ),
    "translate x": (
        Translate(axis="x", fraction=(5 / 32, 5 / 32)),
        lambda x: affine(x, translate=[5, 0]),
        EXACT,
    ),
    "translate y": (
        Translate(axis="y", fraction=(-9 / 32, -9 / 32)),
        lambda x: affine(x, translate=[0, -9]),
        EXACT,
    ),
    "enlarge": (Scale(factor=(1.5, 1.5)), lambda x: affine(x, scale=1.5), EXACT),
    "shrink": (Scale(factor=(0.7, 0.7)), lambda x: affine(x, scale=0.7), EXACT),
    "brightness": (fixed("brightness", 1.4), lambda x: tv.adjust_brightness(x, 1.4), EXACT),
    "darkness": (fixed("brightness", 0.2), lambda x: tv.adjust_brightness(x, 0.2), EXACT),
    "contrast": (fixed("contrast", 1.7), lambda x: tv.adjust_contrast(x, 1.7), (0.02, 0.02)),
    "less contrast": (fixed("contrast", 0.2), lambda x: tv.adjust_contrast(x, 0.2), (0.02, 0.02)),
    "saturation": (fixed("saturation", 1.8), lambda x: tv.adjust_saturation(x, 1.8), (0.03, 0.02)),
    "less saturation": (
        fixed("saturation", 0.3),
        lambda x: tv.adjust_saturation(x, 0.3),
        (0.03, 0.02),
    ),
    # .2989 of red there, .299 here
    "gray": (Gray(), lambda x: tv.rgb_to_grayscale(x, 3), (0.03, 0.02)),
    "blur": (Blur(sigma_px=(1.3, 1.3)), lambda x: tv.gaussian_blur(x, [9, 9], [1.3, 1.3]), EXACT),
    "blur, short kernel": (
        Blur(sigma_px=(2, 2), kernel=0.1),
        lambda x: tv.gaussian_blur(x, [3, 3], [2.0, 2.0]),
        EXACT,
    ),
    "blur, long kernel": (
        Blur(sigma_px=(2, 2), kernel=0.7),
        lambda x: tv.gaussian_blur(x, [23, 23], [2.0, 2.0]),
        EXACT,
    ),
    "sharpness": (fixed("sharpness", 1.7), lambda x: tv.adjust_sharpness(x, 1.7), EXACT),
    "softness": (fixed("sharpness", 0.1), lambda x: tv.adjust_sharpness(x, 0.1), EXACT),
}
OF_BYTES: dict[str, tuple[Operation, Theirs, tuple[float, float]]] = {
    "solarize": (Solarize(threshold=(100, 100)), lambda x: tv.solarize(x, 100), (0, 0)),
    "solarize everything": (Solarize(threshold=(0, 0)), lambda x: tv.solarize(x, 0), (0, 0)),
    "solarize white": (Solarize(threshold=(255, 255)), lambda x: tv.solarize(x, 255), (0, 0)),
    "solarize nothing": (Solarize(threshold=(256, 256)), lambda x: x, (0, 0)),
    "posterize to 1": (Posterize(bits=(1, 1)), lambda x: tv.posterize(x, 1), (0, 0)),
    "posterize to 3": (Posterize(bits=(3, 3)), lambda x: tv.posterize(x, 3), (0, 0)),
    "posterize to 8": (Posterize(bits=(8, 8)), lambda x: tv.posterize(x, 8), (0, 0)),
    "equalize": (Equalize(), tv.equalize, (0, 0)),
    # float32 there, whose whole numbers may fall short
    "autocontrast": (Autocontrast(), tv.autocontrast, (1, 0.02)),
    "invert": (Invert(), tv.invert, (0, 0)),
    # What rounds on bytes there and not here: a smoothing, a mean gray, each result.
    "sharpness of bytes": (
        fixed("sharpness", 1.7),
        lambda x: tv.adjust_sharpness(x, 1.7),
        (1.5, 0.5),
    ),
    "contrast of bytes": (fixed("contrast", 1.7), lambda x: tv.adjust_contrast(x, 1.7), (1.8, 0.8)),
    "saturation of bytes": (
        fixed("saturation", 1.8),
        lambda x: tv.adjust_saturation(x, 1.8),
        (1.01, 0.5),
    ),
    "brightness of bytes": (
        fixed("brightness", 1.4),
        lambda x: tv.adjust_brightness(x, 1.4),
        (1, 0.5),
    ),
}


def differ(ours: Tensor, theirs: Tensor, bounds: tuple[float, float]) -> str:
    """Empty where both bounds hold. Float32 of 255 · (x / 255) is allowed for."""
    found = (ours - theirs).abs()
    largest, mean = float(found.max()), float(found.mean())
    return (
        ""
        if largest <= bounds[0] + 1e-4 and mean <= bounds[1] + 1e-4
        else f"largest {largest}, mean {mean}"
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", list(OF_FLOATS))
def test_an_operation_on_floats_is_torchvisions(name, backend):
    operation, theirs, bounds = OF_FLOATS[name]
    x = pictures(8, SIDE)
    ours = shown(x, operation, backend=backend, outside="black")
    assert differ(ours, 255 * theirs(x.float() / 255), bounds) == ""
    assert name == "posterize to 8" or not torch.equal(ours.round(), x.float())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", list(OF_BYTES))
@pytest.mark.parametrize("span", ["whole", "narrow"])
def test_an_operation_on_bytes_is_torchvisions(name, backend, span):
    operation, theirs, bounds = OF_BYTES[name]
    x = pictures(8, SIDE)
    x = x if span == "whole" else x // 2 + 9
    assert differ(shown(x, operation, backend=backend), theirs(x).float(), bounds) == ""


@pytest.mark.parametrize("size", [17, 24, 96])
def test_the_smoothings_are_torchvisions_at_other_sizes(size):
    x = pictures(2, size)
    for name in ("blur", "sharpness"):
        operation, theirs, bounds = OF_FLOATS[name]
        assert differ(shown(x, operation), 255 * theirs(x.float() / 255), bounds) == ""


@pytest.mark.parametrize("outside", [0, 128])
def test_with_a_fill_torchvision_differs_only_where_image_and_fill_are_mixed(outside):
    x = pictures(8, SIDE)
    ours = shown(x, Rotate(degrees=(30, 30)), outside={0: "black", 128: "gray"}[outside])
    theirs = 255 * tv.rotate(x.float() / 255, 30, BILINEAR, fill=outside / 255)
    share = tv.rotate(torch.ones_like(x, dtype=torch.float32), 30, BILINEAR)
    seam = (share > 1e-4) & (share < 1 - 1e-4)
    assert 0 < seam.float().mean() < 0.1
    assert (ours - theirs)[~seam].abs().max() < 0.01
    straight = share * tv.rotate(x.float(), 30, BILINEAR) / share.clamp(min=1e-6) + outside * (
        1 - share
    )
    assert (ours - straight).abs().max() < 0.01  # one share of each


def test_solarize_add_raises_what_lies_below_its_threshold():
    x = pictures(8, SIDE)
    for backend in BACKENDS:
        ours = shown(x, SolarizeAdd(amount=(33, 33), threshold=100), backend=backend)
        assert torch.allclose(ours, torch.where(x < 100, x.float() + 33, x.float()), atol=1e-4)
        most = shown(x, SolarizeAdd(amount=(200, 200), threshold=256), backend=backend)
        assert torch.allclose(most, (x.float() + 200).clamp(max=255), atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_erased_rectangle_is_torchvisions(backend):
    x, wanted = pictures(20, SIDE), policy(Erase(area=(0.1, 0.3), fill="gray"))
    params = params_of(wanted, 20, size=SIDE, true=(SIDE, SIDE))
    ours = 255 * views_of(store(x), ViewPlan(wanted, 1, SIDE, **RAW), backend=backend)[0]
    for b, (left, top, width, height) in enumerate(params.amount[0, :, 0, :4].astype(int).tolist()):
        fill = torch.full((3, 1, 1), 128.0)
        theirs = tv.erase(x[b].float(), top, left, height, width, fill)
        assert torch.allclose(ours[b], theirs, atol=1e-4)


@pytest.mark.parametrize("side", [0.25, 5 / 32])
def test_a_cutout_is_a_square_cut_off_at_the_border(side):
    x, wanted = pictures(200, SIDE) // 2 + 100, policy(Cutout(side=(side, side), fill="black"))
    covered = views_of(store(x), ViewPlan(wanted, 1, SIDE, **RAW))[0, :, 0] == 0
    rows, columns = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(covered.sum((1, 2)), rows * columns)  # a rectangle
    px = round(side * SIDE)
    for lengths in (rows, columns):
        assert lengths.max() == px
        assert lengths.min() >= px // 2
        assert (lengths == px).float().mean() == pytest.approx(1 - (px - 1) / SIDE, abs=0.1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 16))
def test_a_crop_at_its_own_size_is_the_pixels_themselves(seed, side):
    x, wanted = pictures(4, 16), policy(Crop(area=(side**2 / 256, side**2 / 256), aspect=(1, 1)))
    where = {**WHERE, "seed": seed}
    boxes = (
        boxes_of(params_of(wanted, 4, size=side, true=(16, 16), **where), (16, 16))[0]
        .round()
        .astype(int)
    )
    for backend in BACKENDS:
        ours = (
            255 * views_of(store(x), ViewPlan(wanted, 1, side, **RAW), backend=backend, **where)[0]
        )
        for b, (left, top, width, height) in enumerate(boxes.tolist()):
            assert width == height == side
            assert torch.allclose(ours[b], tv.crop(x[b], top, left, side, side).float(), atol=0.01)


def test_an_enlarged_crop_is_torchvisions_but_for_its_border():
    """The crop is a window: its outermost half pixels mix with what lies beside them in the
    image.
    """
    x, wanted = pictures(30, 64), policy(Crop(area=(0.03, 0.2)))
    boxes = boxes_of(params_of(wanted, 30, size=48, true=(64, 64)), (64, 64))[0].round().astype(int)
    ours = 255 * views_of(store(x), ViewPlan(wanted, 1, 48, **RAW))[0]
    for b, (left, top, width, height) in enumerate(boxes.tolist()):
        theirs = tv.resized_crop(x[b].float(), top, left, height, width, [48, 48], antialias=True)
        edge = math.ceil(24 / min(width, height)) + 1
        inner = (slice(None), slice(edge, -edge), slice(edge, -edge))
        assert (ours[b] - theirs)[inner].abs().max() < 0.01
        assert (ours[b] - theirs).abs().mean() < 3


def test_a_shrunk_crop_is_near_torchvisions_antialiased_one():
    """From a photograph of 128 px stored at 64 and shown at 32: less than half of what aliasing
    makes.
    """
    photo = tv.gaussian_blur(pictures(30, 128).float(), [5, 5], [0.8, 0.8])
    small = tv.resize(photo, [64, 64], antialias=True).round().to(torch.uint8)
    stored = store(small, [(128, 128)] * 30)
    wanted = policy(Crop(area=(0.2, 1)))
    boxes = (
        boxes_of(params_of(wanted, 30, size=32, true=(128, 128)), (128, 128))[0].round().astype(int)
    )
    ours = 255 * views_of(stored, ViewPlan(wanted, 1, 32, **RAW))[0]
    ours_off = theirs_off = 0.0
    for b, (left, top, width, height) in enumerate(boxes.tolist()):
        best, aliased = (
            tv.resized_crop(photo[b], top, left, height, width, [32, 32], antialias=antialias)
            for antialias in (True, False)
        )
        ours_off += float((ours[b] - best).abs().mean()) / 30
        theirs_off += float((aliased - best).abs().mean()) / 30
    assert ours_off < 3
    assert ours_off < 0.5 * theirs_off


def test_views_are_normalized_as_torchvision_does():
    x = pictures(4, SIDE)
    ours = views_of(store(x), ViewPlan(policy(), 1, SIDE, **NORMAL))[0]
    theirs = tv.normalize(x.float() / 255, list(NORMAL["mean"]), list(NORMAL["std"]))
    assert torch.allclose(ours, theirs, atol=1e-5)


# Color: one matrix, so on purpose not torchvision's in two ways, hue and clipping.


def mild(low: int = 90, high: int = 160) -> Tensor:
    """Colors that nothing here drives out of [0, 255]."""
    return (low + (high - low) * pictures(4, 16).float() / 255).round().to(torch.uint8)


def colored(x: Tensor, b: float = 1, c: float = 1, s: float = 1, h: float = 0) -> Tensor:
    return shown(
        x, fixed("brightness", b), fixed("contrast", c), fixed("saturation", s), Hue(turns=(h, h))
    )


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.5, 0.5))
def test_hue_keeps_the_gray_value_of_each_pixel(turn):
    x = mild()
    weights = torch.tensor(GRAY)[:, None, None]
    assert torch.allclose((colored(x, h=turn) * weights).sum(1), (x * weights).sum(1), atol=0.02)


def test_hue_is_a_turn_in_yiq():
    """The matrices of the standard, turned by hand."""
    x = mild()
    yiq = torch.tensor(
        [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
    ).double()
    for turn in (-0.31, 0.05, 0.2):
        cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
        rotation = torch.tensor([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]).double()
        expected = torch.einsum("ij,njhw->nihw", yiq.inverse() @ rotation @ yiq, x.double())
        assert (colored(x, h=turn) - expected).abs().max() < 0.01


def test_hue_turns_the_way_torchvision_does_and_not_far_from_it():
    x = mild()
    for turn in (-0.2, -0.1, 0.1, 0.2):  # as far as any policy turns
        theirs = 255 * tv.adjust_hue(x.float() / 255, turn)
        right, wrong = ((colored(x, h=t) - theirs).abs().mean() for t in (turn, -turn))
        assert right < 14  # gray levels, of channels that spread over 70
        assert right < 0.6 * wrong


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.floats(0.8, 1.2)] * 3), st.floats(-0.1, 0.1))
def test_the_four_commute_and_one_matrix_is_all_of_them_in_every_order(factors, turn):
    x = mild(100, 150)
    together = colored(x, *factors, turn)
    single = [
        *(
            fixed(name, at)
            for name, at in zip(("brightness", "contrast", "saturation"), factors, strict=True)
        ),
        Hue(turns=(turn, turn)),
    ]
    orders = list(itertools.permutations(single))
    assert len(orders) == 24
    for order in orders:
        # a matrix each
        apart = [part for one in order for part in (one, Blur(sigma_px=(0, 0), kernel=0.1))]
        assert torch.allclose(shown(x, *order), together, atol=0.01)
        assert torch.allclose(shown(x, *apart), together, atol=0.01)


def test_torchvisions_sequence_is_ours_where_nothing_is_clipped():
    x = mild(100, 150)
    for order in itertools.permutations(range(3)):
        y = x.float() / 255
        for i in order:
            y = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)[i](
                y, (1.2, 0.7, 1.3)[i]
            )
        assert (colored(x, 1.2, 0.7, 1.3) - 255 * y).abs().max() < 0.03, order


def test_colors_are_clipped_once_after_the_last_of_neighbors():
    x = pictures(4, 16)
    dark_again = shown(x, fixed("brightness", 2), fixed("brightness", 0.5))
    assert torch.allclose(dark_again, x.float(), atol=0.01)
    apart = shown(x, fixed("brightness", 2), Invert(), Invert(), fixed("brightness", 0.5))
    assert float(apart.max()) <= 127.6
    bright = shown(
        x,
        Jitter(brightness=0, contrast=0, saturation=0),
        fixed("brightness", 2),
        fixed("contrast", 2),
    )
    assert float(bright.max()) == pytest.approx(255)
    assert float(bright.min()) == 0


def yiq_turn(turn: float) -> Tensor:
    yiq = torch.tensor(
        [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
    ).double()
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    return yiq.inverse() @ torch.tensor([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]).double() @ yiq


def added_to(params: ViewParams, stage: int = 0) -> Tensor:
    """What was drawn, in gray levels, for each sample of the first view."""
    return torch.from_numpy(params.amount[0, :, stage, 12]).double()[:, None, None, None]


@pytest.mark.parametrize("backend", BACKENDS)
def test_brightness_that_is_added_is_a_sum_clipped(backend):
    x = pictures(8, SIDE)
    wanted = policy(AddBrightness(amount=0.5))
    plan = ViewPlan(wanted, 1, SIDE, **RAW)
    ours = 255 * views_of(store(x), plan, backend=backend)[0]
    amounts = added_to(params_of(wanted, 8, size=SIDE, true=(SIDE, SIDE)))
    assert len(amounts.unique()) == 8
    assert (ours - (x.double() + amounts).clamp(0, 255)).abs().max() < 1e-3
    assert {float((ours == end).float().mean()) > 0.02 for end in (0, 255)} == {True}


@pytest.mark.parametrize("backend", BACKENDS)
def test_brightness_that_is_added_composes_with_all_color_in_every_order(backend):
    """Against each step in turn in float64, nothing clipped between; one stage whatever the
    order.
    """
    x = mild(110, 140)
    weights = torch.tensor(GRAY, dtype=torch.float64)[:, None, None]

    def gray(y: Tensor) -> Tensor:
        return (weights * y).sum(1, keepdim=True)

    def contrast(y: Tensor) -> Tensor:
        mean = gray(y).mean((2, 3), keepdim=True)
        return 0.7 * y + 0.3 * mean

    steps: list[tuple[Operation, Callable[[Tensor, Tensor], Tensor]]] = [
        (fixed("brightness", 1.3), lambda y, _: 1.3 * y),
        (AddBrightness(amount=0.1), lambda y, a: y + a),
        (fixed("contrast", 0.7), lambda y, _: contrast(y)),
        (fixed("saturation", 1.4), lambda y, _: 1.4 * y - 0.4 * gray(y)),
        (Hue(turns=(0.1, 0.1)), lambda y, _: torch.einsum("ij,njhw->nihw", yiq_turn(0.1), y)),
    ]
    alone = params_of(policy(AddBrightness(amount=0.1)), 4, size=16, true=(16, 16))
    amounts = added_to(alone)
    orders = list(itertools.permutations(steps))
    assert len(orders) == 120
    for order in orders:
        y = x.double()
        for _, step in order:
            y = step(y, amounts)
        ours = shown(x, *(operation for operation, _ in order), backend=backend)
        assert (ours - y).abs().max() < 0.01, [operation.op for operation, _ in order]
    twice = params_of(policy(*(operation for operation, _ in steps * 2)), 4, size=16)
    assert (twice.stage[0] == 1).sum() == 4


def test_gray_after_contrast_has_the_mean_of_that_moment():
    """The offset of contrast passes through what comes after it."""
    x = mild()
    y = 255 * tv.rgb_to_grayscale(
        tv.adjust_contrast(tv.adjust_brightness(x.float() / 255, 0.5), 0.4), 3
    )
    assert (
        shown(x, fixed("brightness", 0.5), fixed("contrast", 0.4), Gray()) - y
    ).abs().max() < 0.05
    y = tv.adjust_contrast(tv.rgb_to_grayscale(tv.adjust_brightness(x.float() / 255, 1.3), 3), 0.4)
    assert (
        shown(x, fixed("brightness", 1.3), Gray(), fixed("contrast", 0.4)) - 255 * y
    ).abs().max() < 0.05


def test_geometry_is_composed_in_the_order_listed_as_torchvision_carries_it_out():
    # bears resampling
    x = tv.gaussian_blur(pictures(6, SIDE).float(), [9, 9], [2.5, 2.5]).round().to(torch.uint8)
    turn, move = Rotate(degrees=(40, 40)), Translate(axis="x", fraction=(4 / 32, 4 / 32))
    f = x.float()
    for ours, theirs in (
        (shown(x, turn, move), affine(tv.rotate(f, 40, BILINEAR), translate=[4, 0])),
        (shown(x, move, turn), tv.rotate(affine(f, translate=[4, 0]), 40, BILINEAR)),
        (shown(x, Flip(probability=1), turn), tv.rotate(tv.horizontal_flip(f), 40, BILINEAR)),
        (shown(x, turn, Flip(probability=1)), tv.horizontal_flip(tv.rotate(f, 40, BILINEAR))),
        (shown(x, Scale(factor=(1.4, 1.4)), turn), tv.rotate(affine(f, scale=1.4), 40, BILINEAR)),
    ):
        middle = (slice(None), slice(None), slice(10, 22), slice(12, 22))
        assert (ours - theirs)[middle].abs().max() < 2.5  # resampled once here, twice there
    assert (shown(x, turn, move) - shown(x, move, turn)).abs().mean() > 5


def test_a_rotation_brings_in_image_from_beyond_the_crop():
    """torchvision would bring in its fill: it no longer knows what was cut off."""
    x = pictures(40, 64) // 2 + 100
    wanted = policy(Crop(area=(0.02, 0.05)), Rotate(degrees=(45, 45)), outside="black")
    ours = views_of(store(x), ViewPlan(wanted, 1, 16, **RAW))[0]
    whole = (ours > 0.3).flatten(1).all(1)
    assert whole.float().mean() > 0.6


def test_the_docstrings_say_where_torchvision_differs():
    said = " ".join(f"{operations.__doc__} {drawing.__doc__}".split())
    for words in (
        "hue turns in YIQ",
        "clipped to [0, 255] once",
        "a crop is a window",
        "not torchvision's walk",
    ):
        assert words in said
    assert "not HSV" in (Hue.__doc__ or "")
    assert "not rounded" in (Sharpness.__doc__ or "")
    assert "from the top" in (Shear.__doc__ or "")
