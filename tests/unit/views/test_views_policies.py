"""The named policies hold the numbers of their sources, written out here a second time."""

import subprocess
import sys
import tomllib
from typing import Any

import pytest
import tomli_w
import torch
from pydantic import ValidationError
from views_pictures import (
    EACH,
    RAW,
    all_views_of,
    params_of,
    pictures,
    policy,
    shown,
    store,
    store_of,
)

from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.making import ViewPlan
from nearfar.views.operations import (
    OPERATIONS,
    AddBrightness,
    Blur,
    Crop,
    Flip,
    Jitter,
    OneOf,
    Solarize,
)
from nearfar.views.policies import POLICIES, default_policy, named_policy
from nearfar.views.reading import read_policy

ASPECT = (3 / 4, 4 / 3)
FLIP = {"op": "flip", "probability": 0.5, "axis": "horizontal"}
GRAY = {"op": "gray", "probability": 0.2}


def crop(low: float, high: float = 1.0, aspect: tuple[float, float] = ASPECT) -> dict[str, Any]:
    return {"op": "crop", "probability": 1.0, "area": (low, high), "aspect": aspect}


def jitter(
    brightness: float, contrast: float, saturation: float, hue: float, p: float = 0.8
) -> dict[str, Any]:
    amplitudes = {
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
        "hue": hue,
    }
    return {"op": "jitter", "probability": p, **amplitudes}


def blur(p: float, kernel: float | None = None) -> dict[str, Any]:
    return {"op": "blur", "probability": p, "sigma_px": (0.1, 2.0), "kernel": kernel}


def kind(*operations: dict[str, Any], **more: Any) -> dict[str, Any]:
    plain = {"count": None, "size": 1.0, "outside": "edge", "tiles": None}
    return {"operations": operations, **plain, **more}


def at(op: str, p: float = 1.0, **numbers: Any) -> dict[str, Any]:
    return {"op": op, "probability": p, **numbers}


def both(x: float) -> tuple[float, float]:
    return (x, x)


STRONG = jitter(0.8, 0.8, 0.8, 0.2)
SIMCLR = (crop(0.08), FLIP, STRONG, GRAY, blur(0.5, 0.1))
BYOL = (crop(0.08), FLIP, jitter(0.4, 0.4, 0.2, 0.1), GRAY)
TOGETHER = (at("add_brightness", amount=0.4), jitter(0.0, 0.4, 0.2, 0.1, p=1.0))
BYOL_CODE = (crop(0.08), FLIP, at("one_of", 0.8, among=(TOGETHER,), times=1), GRAY)
SWAV = (FLIP, STRONG, GRAY, blur(0.5))


def rand_augment(n: int, level: float) -> dict[str, Any]:
    """16 operations and identity at a level of 10: translate_const 100, cutout_const 40, fill
    128.
    """
    factor = both(1.8 * level / 10 + 0.1)
    among = [
        at("autocontrast"),
        at("equalize"),
        at("invert"),
        at("rotate", degrees=both(30 * level / 10), either_sign=True),
        at("posterize", bits=both(max(1, int(4 * level / 10)))),
        at("solarize", threshold=both(int(256 * level / 10))),
        at("saturation", factor=factor),
        at("contrast", factor=factor),
        at("brightness", factor=factor),
        at("sharpness", factor=factor),
        at("shear", axis="x", slope=both(0.3 * level / 10), either_sign=True),
        at("shear", axis="y", slope=both(0.3 * level / 10), either_sign=True),
        at("translate", axis="x", fraction=both(100 * level / 10 / 224), either_sign=True),
        at("translate", axis="y", fraction=both(100 * level / 10 / 224), either_sign=True),
        at("cutout", side=both(max(1, 2 * int(40 * level / 10)) / 224), fill="gray"),
        at("solarize_add", amount=both(int(110 * level / 10)), threshold=128.0),
    ]
    return at("one_of", among=(*((one,) for one in among), ()), times=n)


def color(p: float, level: float) -> dict[str, Any]:
    return at("saturation", p, factor=both(1.8 * level / 10 + 0.1))


def equalize(p: float) -> dict[str, Any]:
    return at("equalize", p)


def rotate(p: float, level: float) -> dict[str, Any]:
    return at("rotate", p, degrees=both(3.0 * level), either_sign=True)


def shear(axis: str, p: float, level: float) -> dict[str, Any]:
    return at("shear", p, axis=axis, slope=both(0.03 * level), either_sign=True)


def solarize(p: float, threshold: int) -> dict[str, Any]:
    return at("solarize", p, threshold=both(threshold))


def solarize_add(p: float, amount: int) -> dict[str, Any]:
    return at("solarize_add", p, amount=both(amount), threshold=128.0)


AUTO_AUGMENT = [
    (equalize(0.8), shear("y", 0.8, 4)),
    (color(0.4, 9), equalize(0.6)),
    (color(0.4, 1), rotate(0.6, 8)),
    (solarize(0.8, 76), equalize(0.4)),
    (solarize(0.4, 51), solarize(0.6, 51)),
    (color(0.2, 0), equalize(0.8)),
    (equalize(0.4), solarize_add(0.8, 33)),
    (shear("x", 0.2, 9), rotate(0.6, 8)),
    (color(0.6, 1), equalize(1.0)),
    (at("invert", 0.4), rotate(0.6, 0)),
    (equalize(1.0), shear("y", 0.6, 3)),
    (color(0.4, 7), equalize(0.6)),
    (at("posterize", 0.4, bits=(2, 2)), at("autocontrast", 0.4)),
    (solarize(0.6, 204), color(0.6, 9)),
    (solarize(0.2, 102), rotate(0.8, 9)),
    (rotate(1.0, 7), at("translate", 0.8, axis="y", fraction=both(225 / 224), either_sign=True)),
    (shear("x", 0.0, 0), solarize(0.8, 102)),
    (shear("y", 0.8, 0), color(0.6, 4)),
    (color(1.0, 0), rotate(0.6, 2)),
    (equalize(0.8), equalize(0.0)),
    (equalize(1.0), at("autocontrast", 0.6)),
    (shear("y", 0.4, 7), solarize_add(0.6, 77)),
    (at("posterize", 0.8, bits=(1, 1)), solarize(0.6, 256)),
    (solarize(0.6, 204), equalize(0.6)),
    (color(0.8, 6), rotate(0.4, 5)),
]

WANTED: dict[str, list[dict[str, Any]]] = {
    "simclr": [kind(*SIMCLR)],
    "simclr_cifar": [kind(crop(0.08), FLIP, jitter(0.4, 0.4, 0.4, 0.1), GRAY)],
    "moco_v1": [kind(crop(0.2), GRAY, jitter(0.4, 0.4, 0.4, 0.4, p=1.0), FLIP)],
    "moco_v2": [kind(crop(0.2), jitter(0.4, 0.4, 0.4, 0.1), GRAY, blur(0.5), FLIP)],
    "byol": [
        kind(*BYOL, blur(1.0, 0.1)),
        kind(*BYOL, blur(0.1, 0.1), at("solarize", 0.2, threshold=both(128.0))),
    ],
    "byol_code": [
        kind(*BYOL_CODE, blur(1.0, 0.1)),
        kind(*BYOL_CODE, blur(0.1, 0.1), at("solarize", 0.2, threshold=both(128.0))),
    ],
    "byol_cifar": [kind(*BYOL), kind(*BYOL, at("solarize", 0.2, threshold=both(128.0)))],
    "dino": [
        kind(crop(0.14), *BYOL[1:], blur(1.0)),
        kind(crop(0.14), *BYOL[1:], blur(0.1), at("solarize", 0.2, threshold=both(128.0))),
        kind(crop(0.05, 0.14), *BYOL[1:], blur(0.5), size=96 / 224, count=8),
    ],
    "swav": [kind(crop(0.14), *SWAV), kind(crop(0.05, 0.14), *SWAV, size=96 / 224, count=6)],
    "swav_cifar": [kind(crop(0.14), FLIP, STRONG, GRAY)],
    "supcon": [kind(crop(0.2), FLIP, jitter(0.4, 0.4, 0.4, 0.1), GRAY)],
    "sim_augment": [kind(*SIMCLR)],
    "auto_augment": [
        kind(crop(0.08), FLIP, at("one_of", among=tuple(AUTO_AUGMENT), times=1), outside="gray")
    ],
    "rand_augment": [kind(crop(0.08), FLIP, rand_augment(2, 9), outside="gray")],
    "stacked_rand_augment": [
        kind(crop(0.08), FLIP, STRONG, rand_augment(2, 10), GRAY, blur(0.5, 0.1), outside="gray")
    ],
    "relational": [kind(crop(0.08), FLIP, STRONG, GRAY)],
    "cassava": [
        kind(
            crop(0.5),
            FLIP,
            {**FLIP, "axis": "vertical"},
            at("rotate", degrees=(-45, 45), either_sign=False),
            at("shear", axis="x", slope=(-0.1, 0.1), either_sign=False),
            at("saturation", factor=(0.7, 1.3)),
            at("contrast", factor=(0.8, 1.2)),
            at("brightness", factor=(0.9, 1.1)),
            at("cutout", 0.5, side=(0.15, 0.3), fill="mean"),
        )
    ],
    "basic": [kind(crop(0.2), FLIP)],
    "none": [kind()],
    "digits": [
        kind(
            crop(0.7),
            at("rotate", degrees=(-15, 15), either_sign=False),
            at("translate", axis="x", fraction=(-0.1, 0.1), either_sign=False),
            at("translate", axis="y", fraction=(-0.1, 0.1), either_sign=False),
            outside="black",
        )
    ],
    "patches": [kind(crop(0.5, aspect=(1, 1)), tiles={"grid": 3, "side": 64 / 85, "jitter": 1.0})],
}


def assert_same(found: Any, wanted: Any, path: str = "") -> None:
    """Numbers to the last bits, all else equal."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict), path
        assert set(found) == set(wanted), path
        for key in wanted:
            assert_same(found[key], wanted[key], f"{path}.{key}")
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted), path
        for number, (a, b) in enumerate(zip(found, wanted, strict=True)):
            assert_same(a, b, f"{path}[{number}]")
    elif isinstance(wanted, float | int) and not isinstance(wanted, bool):
        assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12), path
    else:
        assert found == wanted, path


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_named_policy_holds_the_numbers_of_its_source(name):
    assert_same(named_policy(name).model_dump(), {"kinds": WANTED[name]})


def test_there_are_these_policies_and_no_others():
    assert set(POLICIES) == set(WANTED)
    assert len(POLICIES) == 21
    assert len(AUTO_AUGMENT) == 25


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("simclr", "simclr_cifar"),
        ("moco_v2", "supcon"),
        ("byol", "byol_cifar"),
        ("swav", "swav_cifar"),
        ("dino", "byol_cifar"),
        ("relational", "simclr_cifar"),
        ("basic", "basic"),
        ("moco_v1", "moco_v1"),
    ],
)
def test_up_to_40_px_the_default_is_without_blur_and_small_crops(name, small):
    assert default_policy(name, 40) == default_policy(name, 8) == small
    assert default_policy(name, 41) == default_policy(name, 224) == name
    kind, *others = POLICIES[small].kinds
    for each in (kind, *others):
        assert not any(isinstance(operation, Blur) for operation in each.operations)
        assert each.count is None


def test_new_weights_on_few_images_are_shown_weaker_views_by_default():
    assert default_policy("supcon", 64, new_on_few=True) == "basic"
    assert default_policy("supcon", 40, new_on_few=True) == "supcon"  # not measured
    for name in ("simclr", "moco_v2", "byol", "dino", "relational"):
        assert default_policy(name, 224, new_on_few=True) == default_policy(name, 40) != name
    for name in ("basic", "swav"):
        assert default_policy(name, 64, new_on_few=True) == name


@pytest.mark.parametrize(("n", "level"), [(1, 0), (3, 5), (2, 9), (8, 10), (2, 7.5)])
def test_rand_augment_takes_its_numbers_by_name(n, level):
    (found,) = named_policy(f"rand_augment({n}, {level})").model_dump()["kinds"]
    assert_same(found["operations"][2], rand_augment(n, level))
    assert named_policy(f"rand_augment( {n},{level} )") == named_policy(
        f"rand_augment({n}, {level})"
    )
    assert named_policy("rand_augment(2, 9)") == POLICIES["rand_augment"]


@pytest.mark.parametrize(
    "name",
    [
        "simclrr",
        "",
        "rand_augment(0, 5)",
        "rand_augment(9, 5)",
        "rand_augment(2, 10.5)",
        "rand_augment(2)",
        "rand_augment(2, -1)",
        "supcon(2, 3)",
    ],
)
def test_an_unknown_name_is_a_key_error(name):
    with pytest.raises(KeyError):
        named_policy(name)


@pytest.mark.parametrize("name", [*sorted(WANTED), "rand_augment(3, 5)", *sorted(EACH)])
def test_a_policy_survives_the_way_through_a_toml_file(name):
    if name in EACH:
        wanted = policy(
            EACH[name],
            *([] if name == "crop" else [OneOf(among=((EACH[name],), ()))]),
            outside="black",
        )
    else:
        wanted = named_policy(name)
    text = tomli_w.dumps({"policy": wanted.model_dump(exclude_none=True)})
    assert read_policy(tomllib.loads(text)["policy"]) == wanted


def test_one_kind_may_be_spelt_without_the_word():
    spelt = {"operations": [{"op": "crop", "area": [0.3, 1]}, {"op": "flip"}], "outside": "gray"}
    assert read_policy(spelt) == policy(Crop(area=(0.3, 1.0)), Flip(), outside="gray")
    assert read_policy({"kinds": [spelt]}) == read_policy(spelt)


# Strength.


def test_strength_multiplies_the_amplitudes_of_every_jitter_and_nothing_else():
    half, plain = (
        named_policy("stacked_rand_augment", s).model_dump()["kinds"][0]["operations"]
        for s in (0.5, 1)
    )
    assert_same(half[2], jitter(0.4, 0.4, 0.4, 0.1))
    assert [a == b for a, b in zip(half, plain, strict=True)] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    nested = policy(
        OneOf(among=((Jitter(brightness=0.4, hue=0.2), Flip()), ()), probability=0.3)
    ).stronger(2)
    assert nested == policy(
        OneOf(among=((Jitter(brightness=0.8, hue=0.4), Flip()), ()), probability=0.3)
    )
    assert named_policy("supcon", 1) == POLICIES["supcon"]
    assert [k.count for k in named_policy("swav", 2).kinds] == [None, 6]


def test_brightness_that_is_added_is_stronger_up_to_all_there_is():
    code = named_policy("byol_code", 2).kinds[0].operations[2]
    assert code.among[0][0] == AddBrightness(amount=0.8)
    assert named_policy("byol_code", 4).kinds[0].operations[2].among[0][0].amount == 1
    assert named_policy("byol_code", 0).kinds[0].operations[2].among[0][0].amount == 0


def test_hue_stops_at_a_half_turn_and_the_others_nowhere():
    strong = (
        policy(Jitter(brightness=2.0, hue=0.2, probability=0.3)).stronger(4).kinds[0].operations[0]
    )
    assert strong.model_dump() == {**jitter(8, 0, 0, 0.5), "probability": 0.3}
    params = params_of(policy(strong), 500)
    assert 8 < params.amount[0, :, 0, 0].max() < 9 * 3


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match="strength: want at least 0, got -1"):
        named_policy("simclr", strength=-1)


# Several kinds.


def test_byols_two_kinds_take_turns():
    first, second = POLICIES["byol"].kinds
    assert POLICIES["byol"].views(4) == (first, second, first, second)
    assert POLICIES["byol"].views(3) == (first, second, first)
    stages = params_of(POLICIES["byol"], 400, count=4).stage
    blurred, inverted = (stages == 9).any(2).mean(1), (stages == 3).any(2).mean(1)
    assert blurred == pytest.approx([1, 0.1, 1, 0.1], abs=0.08)
    assert inverted == pytest.approx([0, 0.2, 0, 0.2], abs=0.11)


@pytest.mark.parametrize(("size", "small"), [(224, 96), (96, 40), (32, 12), (8, 4)])
def test_swav_makes_two_large_and_six_small_views(size, small):
    plan = ViewPlan(POLICIES["swav"], 2, size, **RAW)
    large, other = all_views_of(store_of(3, size), plan)
    assert large.shape == (2, 3, 3, size, size)
    assert other.shape == (6, 3, 3, small, small)
    assert [int(number) for group in plan.groups for number in group.program.view[:, 0]] == list(
        range(8)
    )
    assert plan.policy.describe(2, size) == f"2 + 6 of {small} px"
    assert plan.policy.cost(2, size) == pytest.approx(2 + 6 * (small / size) ** 2)
    assert plan.policy.sides(2, size) == (size, small)


def test_a_kind_with_a_count_comes_after_those_that_take_turns():
    a, b = Kind(operations=(Flip(),)), Kind(operations=(Crop(),), count=2, size=0.5)
    assert Policy(kinds=(b, a)).views(3) == (a, a, a, b, b)
    first, second = all_views_of(store_of(2, 16), ViewPlan(Policy(kinds=(b, a)), 3, 16, **RAW))
    assert (first.shape, second.shape) == ((3, 2, 3, 16, 16), (2, 2, 3, 8, 8))


@pytest.mark.parametrize(
    ("share", "size", "side"),
    [(1, 31, 31), (0.5, 32, 16), (0.5, 30, 16), (0.1, 8, 4), (0.3, 96, 28)],
)
def test_smaller_views_have_a_side_of_fours(share, size, side):
    assert Kind(size=share).side_px(size) == side


def test_every_view_takes_part_in_the_description():
    mixed = Policy(
        kinds=(Kind(), Kind(count=3, size=0.5), Kind(count=1, tiles=Tiles(grid=2, side=1)))
    )
    assert mixed.describe(2, 32) == "2 + 7 of 16 px"  # tiles have the small crops' side
    assert mixed.made(2) == 9
    assert POLICIES["patches"].describe(1, 224) == "9 of 56 px"
    assert POLICIES["simclr"].describe(2, 32) == "2"


# Tiles.


def tile_boxes(wanted: Policy, n: int, size: int = 224) -> torch.Tensor:
    """(n, 9, 4): left, top, width, height of each tile in its view, which is the whole picture;
    view's side 1.
    """
    params = params_of(wanted, n, size=size, true=(size, size))
    warp = torch.from_numpy(params.warp).double()
    assert len(warp) == 9
    side = torch.stack([warp[..., 0, 0], warp[..., 1, 1]], -1)
    return torch.cat([(warp[..., 2] - side + 1) / 2, side], -1).permute(1, 0, 2)


@pytest.mark.parametrize("jitter_by", [0.0, 0.4, 1.0])
def test_tiles_lie_in_their_cells_row_by_row(jitter_by):
    boxes = tile_boxes(policy(tiles=Tiles(side=0.6, jitter=jitter_by)), 300)
    assert torch.allclose(boxes[..., 2:], torch.tensor(0.2).double())
    room = jitter_by * 0.4 / 3 / 2
    for t in range(9):
        middle = torch.tensor([t % 3, t // 3]) / 3 + 1 / 6
        stray = boxes[:, t, :2] + 0.1 - middle
        assert stray.abs().max() <= room + 1e-6
        if jitter_by:
            assert stray.abs().amax(0).min() > 0.9 * room
            assert stray.mean(0).abs().max() < 0.2 * room
            assert stray.std(0) == pytest.approx([room / 3**0.5] * 2, rel=0.1)
    if jitter_by == 1:
        flat = boxes[..., :2].flatten(1)
        assert (torch.corrcoef(flat.T) - torch.eye(18)).abs().max() < 0.35
        assert (boxes[:, 1:, 0] != boxes[:, :-1, 0] + 1 / 3).all()


def test_the_patches_of_the_paper_leave_a_gap_on_average():
    (only,) = POLICIES["patches"].kinds
    assert only.side_px(255) == 64
    assert only.side_px(224) == 56
    boxes = tile_boxes(policy(tiles=Tiles()), 500, size=255) * 255
    assert torch.allclose(boxes[..., 2:], torch.tensor(64.0).double())
    gap = boxes[:, 1, 0] - boxes[:, 0, 0] - 64
    assert gap.min() >= -1e-4
    assert gap.max() <= 42 + 1e-4
    assert float(gap.mean()) == pytest.approx(21, abs=2.5)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_tile_that_does_not_stray_is_that_part_of_the_whole_view(backend):
    """Cells of 8 px, tiles of 8 px: nothing is resampled."""
    x = pictures(3, 24)
    whole = shown(x, Flip(probability=1), backend=backend)
    wanted = policy(Flip(probability=1), tiles=Tiles(side=1.0, jitter=0.0))
    (tiles,) = all_views_of(store(x), ViewPlan(wanted, 2, 24, **RAW), backend=backend)
    assert tiles.shape == (18, 3, 3, 8, 8)
    for t in range(18):
        top, left = 8 * (t % 9 // 3), 8 * (t % 3)
        assert torch.allclose(255 * tiles[t], whole[..., top : top + 8, left : left + 8], atol=0.01)


def test_a_smaller_tile_is_the_middle_of_its_cell():
    x = pictures(3, 24)
    (tiles,) = all_views_of(
        store(x), ViewPlan(policy(tiles=Tiles(side=0.5, jitter=0.0)), 1, 24, **RAW)
    )
    for t in range(9):
        top, left = 8 * (t // 3) + 2, 8 * (t % 3) + 2
        assert torch.allclose(
            255 * tiles[t], x[..., top : top + 4, left : left + 4].float(), atol=0.01
        )


def test_the_tiles_of_a_view_share_its_crop_and_color_and_other_views_do_not():
    wanted = policy(
        Crop(area=(0.3, 1)),
        Flip(),
        Solarize(threshold=(0, 256)),
        Blur(),
        tiles=Tiles(side=1.0, jitter=0.0),
    )
    params = params_of(wanted, 50, count=2)
    for array in (params.amount, params.stage, params.warp[..., :2]):
        tiles = array.reshape(2, 9, *array.shape[1:])
        assert (tiles == tiles[:, :1]).all()
    assert (params.amount[0] != params.amount[9]).any()


# What is data, and what is refused.


@pytest.mark.parametrize(
    ("op", "field", "value"),
    [
        ("flip", "probability", 1.5),
        ("flip", "probability", -0.1),
        ("flip", "axis", "up"),
        ("crop", "area", (0, 1)),
        ("crop", "area", (0.5, 0.2)),
        ("crop", "area", (0.5, 1.1)),
        ("crop", "aspect", (2, 1)),
        ("crop", "aspect", (0, 1)),
        ("jitter", "brightness", -1),
        ("jitter", "brightness", float("nan")),
        ("jitter", "hue", 0.6),
        ("rotate", "degrees", (0, 361)),
        ("rotate", "degrees", (1, 0)),
        ("scale", "factor", (0, 1)),
        ("scale", "factor", (1, float("inf"))),
        ("scale", "factor", (1e-300, 1)),
        ("translate", "fraction", (0, 3)),
        ("shear", "slope", (0.1, -0.1)),
        ("posterize", "bits", (0, 4)),
        ("posterize", "bits", (4, 9)),
        ("posterize", "bits", (2.5, 4)),
        ("solarize", "threshold", (0, 257)),
        ("solarize_add", "amount", (-1, 2)),
        ("blur", "sigma_px", (-1, 2)),
        ("blur", "sigma_px", (2, 1)),
        ("blur", "kernel", 0),
        ("cutout", "side", (0, 0.1)),
        ("cutout", "fill", "red"),
        ("erase", "aspect", (3, 0.3)),
        ("noise", "sigma", (0, 1.1)),
        ("saturation", "factor", (-0.1, 1)),
        ("contrast", "factor", (0, 17)),
        ("add_brightness", "amount", -0.1),
        ("add_brightness", "amount", 1.1),
        ("add_brightness", "amount", (0.1, 0.2)),
        ("flip", "probability", "0.5"),
        ("flip", "probability", True),
        ("rotate", "either_sign", 1),
        ("one_of", "times", 0),
        ("one_of", "times", 9),
        ("one_of", "among", ()),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(op, field, value):
    (cls,) = (cls for cls in OPERATIONS if cls.model_fields["op"].default == op)
    needed = next((each.model_dump() for each in EACH.values() if each.op == op), {"among": ((),)})
    with pytest.raises(ValidationError, match=field):
        cls(**{**needed, field: value})


def test_every_operation_has_its_example_here():
    assert {each.op for each in EACH.values()} | {"one_of"} == {
        cls.model_fields["op"].default for cls in OPERATIONS
    }
    assert len(OPERATIONS) == 25


def test_policies_are_read_without_torch():
    code = (
        "import sys, nearfar.views.reading; sys.exit('torch' in sys.modules or 'numba' in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
