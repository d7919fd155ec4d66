"""What operations draw is distributed as torchvision's transforms draw it, or uniformly in the
range stated.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv2
from scipy import stats
from views_pictures import EACH, boxes_of, params_of, policy

from nearfar.views.operations import (
    AddBrightness,
    Blur,
    Brightness,
    Contrast,
    Crop,
    Cutout,
    Erase,
    Flip,
    Gray,
    Hue,
    Invert,
    Jitter,
    Noise,
    OneOf,
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
from nearfar.views.params import COLOR, GRAY, WIDTH, ViewParams

N = 3000
P_VALUE = 1e-5  # one in a thousand of these tests would fail by chance, were the draws others
SIZES = ((32, 32), (300, 200), (50, 170), (640, 31))


def smeared(values: np.ndarray, seed: int) -> np.ndarray:
    """Ties of whole numbers broken alike on both sides."""
    return values + np.random.default_rng(seed).uniform(0, 1e-3, values.shape)


def assert_same_distribution(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    assert stats.ks_2samp(smeared(ours, 1), smeared(theirs, 2)).pvalue > P_VALUE, name


def crops_of_torchvision(size: tuple[int, int], n: int, area: tuple[float, float]) -> np.ndarray:
    """(n, 4): left, top, width, height."""
    width, height = size
    transform = tv2.RandomResizedCrop(8, scale=area, ratio=(3 / 4, 4 / 3))
    image = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = [transform.make_params([image]) for _ in range(n)]
    return np.array([[m["left"], m["top"], m["width"], m["height"]] for m in made], float)


def assert_same_crops(size: tuple[int, int], n: int, area: tuple[float, float]) -> None:
    ours = boxes_of(params_of(policy(Crop(area=area)), n, true=size), size)[0]
    assert np.abs(ours - ours.round()).max() < 1e-2  # whole pixels, in float32 shares
    left, top, width, height = ours.round().T
    left2, top2, width2, height2 = crops_of_torchvision(size, n, area).T
    assert_same_distribution(width * height, width2 * height2, "area")
    assert_same_distribution(width / height, width2 / height2, "aspect")
    for name, start, length, whole, start2, length2 in (
        ("left", left, width, size[0], left2, width2), ("top", top, height, size[1], top2, height2),
    ):  # fmt: skip
        assert_same_distribution(start, start2, name)
        room, room2 = whole - length, whole - length2
        free, free2 = room > 0, room2 > 0
        if free.any():
            assert_same_distribution(
                start[free] / room[free], start2[free2] / room2[free2], f"{name} in its room"
            )


@pytest.mark.parametrize("size", SIZES)
def test_crops_are_distributed_as_torchvisions(size):
    assert_same_crops(size, 1500, (0.08, 1.0))


@pytest.mark.ci
@pytest.mark.parametrize("size", [*SIZES, (500, 375), (31, 640)])
@pytest.mark.parametrize("area", [(0.08, 1.0), (0.2, 1.0), (0.05, 0.14)])
def test_many_crops_are_distributed_as_torchvisions(size, area):
    assert_same_crops(size, 12000, area)


@pytest.mark.parametrize(
    ("true", "area", "aspect"),
    [
        ((1, 1), (0.08, 1.0), (0.75, 1.33)),
        ((1, 400), (0.08, 1.0), (0.75, 1.33)),
        ((400, 3), (0.01, 1.0), (0.1, 10.0)),
        ((37, 23), (1e-3, 0.01), (0.0625, 16.0)),
        ((2, 2), (0.9, 1.0), (0.9, 1.1)),
    ],
)
def test_every_crop_lies_inside_its_image_and_has_whole_pixels(true, area, aspect):
    boxes = boxes_of(params_of(policy(Crop(area=area, aspect=aspect)), 500, true=true), true)[0]
    whole = boxes.round()
    assert np.abs(boxes - whole).max() < 1e-2
    assert (whole[:, 2:] >= 1).all()
    assert (whole[:, :2] >= 0).all()
    assert (whole[:, :2] + whole[:, 2:] <= true).all()


def test_crops_reach_every_place_equally_often_and_their_axes_are_independent():
    boxes = boxes_of(
        params_of(policy(Crop(area=(1 / 3, 1 / 3), aspect=(1, 1))), N, true=(4, 3)), (4, 3)
    )[0].round()
    assert (boxes[:, 2:] == 2).all()
    table = np.zeros((3, 2))
    np.add.at(table, tuple(boxes[:, :2].astype(int).T), 1)
    assert stats.chisquare(table.ravel()).pvalue > P_VALUE
    boxes = boxes_of(
        params_of(policy(Crop(area=(0.1, 0.1), aspect=(1, 1))), N, true=(500, 500)), (500, 500)
    )[0]
    assert abs(np.corrcoef(boxes[:, 0], boxes[:, 1])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("size", "aspect", "box"),
    [
        ((1, 1000), (0.75, 4 / 3), (0, 499, 1, 1)),
        ((1000, 10), (0.75, 4 / 3), (493, 0, 13, 10)),
        ((10, 1000), (0.75, 4 / 3), (0, 493, 10, 13)),
        ((30, 20), (1.0, 1.0), (5, 0, 20, 20)),
        ((5, 1), (0.1, 0.2), (2, 0, 1, 1)),
        ((1, 5), (5.0, 10.0), (0, 2, 1, 1)),
        ((1, 10000), (0.75, 4 / 3), (0, 4999, 1, 1)),
        ((20000, 1), (0.75, 4 / 3), (9999, 0, 1, 1)),
    ],
)
def test_where_no_try_fits_the_crop_is_centered_as_torchvisions(size, aspect, box):
    boxes = boxes_of(params_of(policy(Crop(area=(1, 1), aspect=aspect)), 3, true=size), size)[0]
    assert boxes == pytest.approx(np.array([box] * 3), abs=0.01)


def test_a_crop_that_does_not_happen_leaves_the_centered_square():
    boxes = boxes_of(
        params_of(policy(Crop(probability=0.3, area=(0.1, 0.2))), N, true=(60, 40)), (60, 40)
    )[0]
    left = (np.abs(boxes - (10, 0, 40, 40)) < 1e-3).all(1)
    assert left.mean() == pytest.approx(0.7, abs=0.03)


def first(params: ViewParams) -> np.ndarray:
    """(B, 12): what the first stage of the first view holds, but for what is added."""
    return params.amount[0, :, 0, :12].astype(np.float64)


def shear_of(params: ViewParams) -> np.ndarray:
    return params.warp[0, :, 0, 1].astype(np.float64)


def added(params: ViewParams) -> np.ndarray:
    return params.amount[0, :, 0, 12].astype(np.float64)


def red(params: ViewParams) -> np.ndarray:
    return first(params)[:, 0]


def saturation_of(params: ViewParams) -> np.ndarray:
    return (red(params) - GRAY[0]) / (1 - GRAY[0])


def in_yiq(params: ViewParams) -> np.ndarray:
    """(B, 3, 3): the matrices as they act on Y, I and Q."""
    yiq = np.array([GRAY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
    return yiq @ first(params).reshape(-1, 3, 4)[:, :, :3] @ np.linalg.inv(yiq)


def turn_of(params: ViewParams) -> np.ndarray:
    """Turns of the color circle, from what becomes of I."""
    return np.arctan2(-in_yiq(params)[:, 2, 1], in_yiq(params)[:, 1, 1]) / (2 * math.pi)


# name: operation, what it drew, from where to where
UNIFORM: dict[str, tuple[Operation, Callable[[ViewParams], np.ndarray], float, float]] = {
    "rotate": (
        Rotate(degrees=(-15, 40)),
        lambda r: np.degrees(np.arctan2(r.warp[0, :, 1, 0], r.warp[0, :, 0, 0])),
        -15,
        40,
    ),
    "shear x": (Shear(axis="x", slope=(-0.1, 0.3)), shear_of, -0.1, 0.3),
    "shear y": (Shear(axis="y", slope=(0, 0.3)), lambda r: r.warp[0, :, 1, 0], 0, 0.3),
    "translate x": (
        Translate(axis="x", fraction=(-0.1, 0.2)),
        lambda r: -r.warp[0, :, 0, 2] / 2,
        -0.1,
        0.2,
    ),
    "translate y": (
        Translate(axis="y", fraction=(0.1, 0.2)),
        lambda r: -r.warp[0, :, 1, 2] / 2,
        0.1,
        0.2,
    ),
    "scale": (Scale(factor=(0.5, 2)), lambda r: 1 / r.warp[0, :, 0, 0], 0.5, 2),
    "brightness": (Brightness(factor=(0.3, 1.7)), red, 0.3, 1.7),
    "add_brightness": (AddBrightness(amount=0.4), added, -102, 102),
    "contrast": (Contrast(factor=(0.3, 1.7)), red, 0.3, 1.7),
    "saturation": (Saturation(factor=(0.3, 1.7)), saturation_of, 0.3, 1.7),
    "hue": (Hue(turns=(-0.2, 0.3)), turn_of, -0.2, 0.3),
    "jitter of brightness": (Jitter(brightness=0.8), red, 0.2, 1.8),
    "strong jitter of brightness": (Jitter(brightness=1.5), red, 0, 2.5),
    "jitter of contrast": (Jitter(contrast=0.4), red, 0.6, 1.4),
    "jitter of saturation": (Jitter(saturation=0.4), saturation_of, 0.6, 1.4),
    "jitter of hue": (Jitter(hue=0.1), turn_of, -0.1, 0.1),
    "blur": (Blur(sigma_px=(0.1, 2)), red, 0.1, 2),
    "sharpness": (Sharpness(factor=(0.1, 1.9)), red, 0.1, 1.9),
    "solarize": (Solarize(threshold=(10, 200)), red, 10, 200),
    "solarize_add": (SolarizeAdd(amount=(5, 110)), red, 5, 110),
    "noise": (Noise(sigma=(0, 0.2)), red, 0, 51),
}


@pytest.mark.parametrize("name", list(UNIFORM))
def test_an_operation_draws_uniformly_from_its_range_and_reaches_both_ends(name):
    operation, drawn, low, high = UNIFORM[name]
    values = drawn(params_of(policy(operation), N)).astype(np.float64)
    slack = 1e-5 * max(abs(low), abs(high))
    assert low - slack <= values.min() < low + 0.01 * (high - low)
    assert high + slack >= values.max() > high - 0.01 * (high - low)
    assert (
        stats.kstest(values, stats.uniform(low - slack, high - low + 2 * slack).cdf).pvalue
        > P_VALUE
    )


def test_jitter_draws_its_four_apart():
    """As if each stood alone, all recovered from one matrix."""
    params = params_of(policy(Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)), N)
    m, yiq = first(params).reshape(-1, 3, 4), in_yiq(params)
    gain = yiq[:, 0, 0]  # brightness · contrast
    brightness = gain + m[:, 0, 3]  # gray of the mean stays what brightness made of it
    saturation = np.hypot(yiq[:, 1, 1], yiq[:, 2, 1]) / gain
    drawn = np.stack([brightness, gain / brightness, saturation, turn_of(params)])
    for row, (low, width) in zip(drawn, [(0.6, 0.8)] * 3 + [(-0.1, 0.2)], strict=True):
        assert low - 1e-4 <= row.min() < low + 0.02 * width
        assert stats.kstest(row, stats.uniform(low, width).cdf).pvalue > P_VALUE
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 0.1


def test_bits_are_drawn_alike_often_with_both_ends():
    bits = first(params_of(policy(Posterize(bits=(3, 6))), N))[:, 0].astype(int)
    assert set(bits) == {3, 4, 5, 6}
    assert stats.chisquare(np.bincount(bits)[3:]).pvalue > P_VALUE
    assert set(first(params_of(policy(Posterize(bits=(8, 8))), 50))[:, 0]) == {8}


@pytest.mark.parametrize("name", ["rotate", "shear", "translate"])
def test_either_sign_is_taken_half_of_the_time(name):
    operation, drawn = {
        "rotate": (
            Rotate(degrees=(20, 30), either_sign=True),
            lambda r: np.degrees(np.arcsin(r.warp[0, :, 1, 0])),
        ),
        "shear": (Shear(axis="x", slope=(0.2, 0.3), either_sign=True), shear_of),
        "translate": (
            Translate(axis="x", fraction=(0.2, 0.3), either_sign=True),
            lambda r: -r.warp[0, :, 0, 2] / 2,
        ),
    }[name]
    values = drawn(params_of(policy(operation), N))
    assert (values > 0).mean() == pytest.approx(0.5, abs=0.05)
    low, high = (20, 30) if name == "rotate" else (0.2, 0.3)
    assert stats.kstest(np.abs(values), stats.uniform(low, high - low).cdf).pvalue > P_VALUE
    assert abs(np.corrcoef(np.sign(values), np.abs(values))[0, 1]) < 0.1


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.8, 1.0])
@pytest.mark.parametrize("name", sorted(EACH))
def test_an_operation_happens_as_often_as_it_says(name, probability):
    """Also in a list of one_of, where each operation of the chosen list has a probability of its
    own.
    """
    operation = EACH[name].model_copy(update={"probability": probability})
    wanted = [policy(operation)] + (
        [] if name == "crop" else [policy(OneOf(among=((operation,),)))]
    )
    still = params_of(policy(), 1, true=(40, 32)).warp[0, 0]
    for one in wanted:
        params = params_of(one, N, true=(40, 32))
        happened = (params.stage[0] > 0).any(1) | (params.warp[0] != still).any((1, 2))
        rarely_nothing = 0.003 if name == "crop" else 0.0  # the square that lies there anyway
        assert happened.mean() == pytest.approx(
            probability, abs=rarely_nothing if probability in (0, 1) else 0.03
        )


def test_one_of_happens_as_often_as_it_says_and_chooses_alike_often():
    among = tuple((Solarize(threshold=(k, k)),) for k in range(7))
    amounts = params_of(policy(OneOf(probability=0.6, times=1, among=among)), 2 * N)
    happened = amounts.stage[0, :, 0] > 0
    assert happened.mean() == pytest.approx(0.6, abs=0.03)
    assert (
        stats.chisquare(np.bincount(first(amounts)[happened, 0].astype(int), minlength=7)).pvalue
        > P_VALUE
    )


def test_one_of_carries_out_the_whole_list_in_its_order():
    pair = (Posterize(bits=(4, 4)), Invert(), Brightness(factor=(0.5, 0.5)))
    params = params_of(policy(Invert(), OneOf(times=2, among=(pair,)), Gray()), 20)
    # the last brightness and gray are one matrix
    assert (params.stage[0, :, :7] == [7, 2, 7, 1, 2, 7, 1]).all()
    assert (params.stage[0, :, 7:] == 0).all()
    assert params.amount.shape == (1, 20, 8, WIDTH)


def test_half_of_the_views_are_mirrored_each_for_itself():
    warp = params_of(policy(Flip()), 2000, count=2).warp
    mirrored = warp[..., 0, 0] < 0
    assert mirrored.mean() == pytest.approx(0.5, abs=0.05)
    assert (mirrored[0] != mirrored[1]).mean() == pytest.approx(0.5, abs=0.05)
    assert (warp[..., 1, 1] > 0).all()
    vertical = params_of(policy(Flip(axis="vertical")), 2000).warp
    assert (vertical[..., 0, 0] > 0).all()
    assert (vertical[..., 1, 1] < 0).mean() == pytest.approx(0.5, abs=0.05)


def test_erased_rectangles_are_distributed_as_torchvisions():
    size, n = 100, 2000
    transform = tv2.RandomErasing(p=1, scale=(0.02, 0.33), ratio=(0.3, 3.3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = [transform.make_params([torch.empty(3, size, size)]) for _ in range(n)]
    theirs = np.array([[m["j"], m["i"], m["w"], m["h"]] for m in made], float)
    ours = first(params_of(policy(Erase()), n, size=size))[:, :4]
    for name, of in (
        ("area", lambda box: box[:, 2] * box[:, 3]), ("aspect", lambda box: box[:, 3] / box[:, 2]),
        ("left", lambda box: box[:, 0]), ("top", lambda box: box[:, 1]),
        ("left in its room", lambda box: box[:, 0] / (size - box[:, 2])),
    ):  # fmt: skip
        assert_same_distribution(of(ours), of(theirs), name)
    assert ours.min() >= 0
    assert (ours[:, :2] + ours[:, 2:]).max() <= size


def test_a_rectangle_that_never_fits_is_left_out():
    params = params_of(policy(Erase(area=(1, 1))), 200)
    assert (params.stage == 0).all()


def test_cutouts_lie_anywhere():
    size = 50
    boxes = first(params_of(policy(Cutout(side=(0.2, 0.2))), N, size=size))
    assert (boxes[:, 2:4] == 10).all()
    for center in (boxes[:, 0] + 5, boxes[:, 1] + 5):
        assert set(center.astype(int)) == set(range(size))
        assert stats.chisquare(np.bincount(center.astype(int))).pvalue > P_VALUE
    assert abs(np.corrcoef(boxes[:, :2].T)[0, 1]) < 0.1


def test_blurs_reach_as_far_as_their_kernel_says():
    for size, kernel, radius in (
        (224, 0.1, 11),
        (96, 0.1, 4),
        (32, 0.1, 1),
        (8, 0.1, 1),
        (32, 1.0, 16),
        (10, 1.0, 5),
    ):
        assert set(first(params_of(policy(Blur(kernel=kernel)), 50, size=size))[:, 1]) == {
            radius
        }, (size, kernel)
    free = first(params_of(policy(Blur()), 500))
    assert (free[:, 1] == np.ceil(3 * free[:, 0])).all()
    # mirrored once, no further
    assert set(first(params_of(policy(Blur(sigma_px=(9, 9))), 5, size=8))[:, 1]) == {7}


def test_operations_on_color_between_others_are_matrices_of_their_own():
    params = params_of(
        policy(
            Gray(), Brightness(factor=(0.5, 0.5)), Invert(), Gray(), Flip(), Contrast(factor=(1, 1))
        ),
        3,
    )
    assert (params.stage[0] == [COLOR, 7, COLOR]).all()
