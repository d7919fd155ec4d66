"""What is said of a policy is read off its operations."""

import pytest

from nearfar.views import operations as ops
from nearfar.views.description import SOURCES, describe, described_policies, letters
from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.policies import POLICIES, named_policy

EXAMPLES = {
    "crop": (ops.Crop(area=(0.2, 1)), "crop 0.2-1"),
    "flip": (ops.Flip(), "flip"),
    "rotate": (ops.Rotate(degrees=(9, 9), either_sign=True), "rotate ±9°"),
    "shear": (ops.Shear(axis="x", slope=(-0.1, 0.1)), "shear x ±0.1"),
    "translate": (ops.Translate(axis="y", fraction=(-0.2, 0.1)), "shift y -0.2 to 0.1"),
    "scale": (ops.Scale(factor=(0.5, 2)), "scale 0.5-2"),
    "brightness": (ops.Brightness(factor=(0.9, 1.1)), "brightness 0.9-1.1"),
    "add_brightness": (ops.AddBrightness(amount=0.4), "add ±0.4"),
    "contrast": (ops.Contrast(factor=(2, 2)), "contrast 2"),
    "saturation": (ops.Saturation(factor=(0, 2)), "saturation 0-2"),
    "hue": (ops.Hue(turns=(-0.1, 0.1)), "hue ±0.1"),
    "jitter": (ops.Jitter(probability=0.8, brightness=0.4, hue=0.1), "jitter 0.4 0 0 0.1 at 0.8"),
    "gray": (ops.Gray(probability=0.2), "gray at 0.2"),
    "blur": (ops.Blur(), "blur 0.1-2 px"),
    "sharpness": (ops.Sharpness(factor=(0.5, 1)), "sharpness 0.5-1"),
    "solarize": (ops.Solarize(), "solarize from 128"),
    "solarize_add": (ops.SolarizeAdd(amount=(0, 110)), "add 0-110 below 128"),
    "posterize": (ops.Posterize(bits=(4, 4)), "posterize to 4 bits"),
    "equalize": (ops.Equalize(), "equalize"),
    "autocontrast": (ops.Autocontrast(), "autocontrast"),
    "invert": (ops.Invert(), "invert"),
    "cutout": (ops.Cutout(side=(0.1, 0.3)), "cut-out 0.1-0.3"),
    "erase": (ops.Erase(), "erase 0.02-0.33"),
    "noise": (ops.Noise(sigma=(0, 0.1)), "noise 0-0.1"),
    "one_of": (ops.OneOf(times=2, among=((ops.Invert(),), (ops.Flip(),))), "2 of 2 operations"),
}


def test_every_operation_has_an_example():
    assert list(EXAMPLES) == [kind.model_fields["op"].default for kind in ops.OPERATIONS]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_operation_in_words(name):
    operation, text = EXAMPLES[name]
    assert describe(Policy(kinds=(Kind(operations=(operation,)),))) == text


def test_a_kernel_and_a_color_are_said_where_they_are_not_the_usual():
    many = (ops.Blur(kernel=0.1), ops.Cutout(side=(0.1, 0.3), fill="black"), ops.Erase(fill="gray"))
    text = "blur 0.1-2 px within 0.1 of the side, cut-out 0.1-0.3 in black, erase 0.02-0.33 in gray"
    assert describe(Policy(kinds=(Kind(operations=many),))) == text


def test_words_follow_the_numbers():
    assert "jitter 0.8 0.8 0.8 0.2 at 0.8" in describe(POLICIES["simclr"])
    assert "jitter 0.4 0.4 0.4 0.1 at 0.8" in describe(named_policy("simclr", 0.5))


def test_a_list_that_is_drawn_as_one_says_what_is_in_it():
    text = "flip, (add ±0.4, jitter 0 0.4 0.2 0.1) at 0.8, gray at 0.2"
    assert text in describe(POLICIES["byol_code"])


def test_kinds_are_told_apart():
    assert letters(POLICIES["supcon"]) == [""]
    assert letters(POLICIES["byol"]) == ["A", "B"]
    assert describe(POLICIES["byol"]).count("by turns: ") == 2
    assert "; B, 6 more, 0.429 of the side: crop 0.05-0.14, flip" in describe(POLICIES["swav"])
    assert describe(POLICIES["digits"]).endswith(", black outside the image")
    half = Policy(kinds=(Kind(size=0.5, tiles=Tiles(grid=2, side=0.75)),))
    whole, tiles = (
        "the largest centered square as it is",
        "cut into 2 x 2 tiles of 0.75 of their cell, anywhere in it",
    )
    assert describe(half) == f"0.5 of the side: {whole}, {tiles}"


@pytest.mark.parametrize(
    ("jitter", "where"),
    [(1.0, "anywhere in it"), (0.0, "in its middle"), (0.25, "up to 0.25 of the way to its edge")],
)
def test_how_far_tiles_stray_is_said(jitter, where):
    tiled = Policy(kinds=(Kind(tiles=Tiles(grid=2, side=0.75, jitter=jitter)),))
    assert describe(tiled).endswith(f"cut into 2 x 2 tiles of 0.75 of their cell, {where}")


def test_a_range_of_either_sign_that_starts_below_zero_can_be_read():
    rotated = Policy(kinds=(Kind(operations=(ops.Rotate(degrees=(-30, -10), either_sign=True),)),))
    assert describe(rotated) == "rotate ±(-30 to -10)°"


def test_a_choice_that_may_be_nothing_says_so():
    among = ((ops.Invert(),), (), (ops.Flip(),))
    choice = Policy(kinds=(Kind(operations=(ops.OneOf(among=among),)),))
    assert describe(choice) == "1 of 2 operations, or none of them"
    pairs = Policy(kinds=(Kind(operations=(ops.OneOf(among=((ops.Invert(), ops.Flip()),) * 3),)),))
    assert describe(pairs) == "1 of 3 pairs of operations"


def test_every_policy_has_a_source_and_words_that_can_be_drawn():
    found = described_policies()
    assert [policy.name for policy in found] == list(POLICIES) == list(SOURCES)
    assert len(found) == 21
    for policy in found:
        assert all(" " <= sign <= "~" or sign in "±°" for sign in policy.summary), policy
