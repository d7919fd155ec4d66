import subprocess
import sys

import pytest
from pydantic import ValidationError

from nearfar.views.policies import POLICIES, Policy, named_policy


def test_the_named_policies_are_those_of_their_sources():
    assert set(POLICIES) == {"simclr", "supcon", "basic", "digits"}
    simclr, supcon, basic, digits = (POLICIES[name] for name in ("simclr", "supcon", "basic", "digits"))
    assert (simclr.crop_area, simclr.flip, simclr.jitter, simclr.grey) == ((0.08, 1.0), 0.5, 0.8, 0.2)
    assert (simclr.brightness, simclr.contrast, simclr.saturation, simclr.hue) == (0.8, 0.8, 0.8, 0.2)
    assert (supcon.crop_area, supcon.flip, supcon.jitter, supcon.grey) == ((0.2, 1.0), 0.5, 0.8, 0.2)
    assert (supcon.brightness, supcon.contrast, supcon.saturation, supcon.hue) == (0.4, 0.4, 0.4, 0.1)
    assert (basic.crop_area, basic.flip, basic.jitter, basic.grey) == ((0.2, 1.0), 0.5, 0.0, 0.0)
    assert (digits.crop_area, digits.rotate_degrees, digits.shift) == ((0.7, 1.0), 15.0, 0.1)
    assert (digits.flip, digits.jitter, digits.grey) == (0.0, 0.0, 0.0)
    for policy in (simclr, supcon, basic, digits):
        assert policy.crop_aspect == pytest.approx((3 / 4, 4 / 3))


def test_strength_multiplies_the_colour_amplitudes_and_nothing_else():
    half = named_policy("simclr", strength=0.5)
    assert (half.brightness, half.contrast, half.saturation, half.hue) == (0.4, 0.4, 0.4, 0.1)
    changed = {"brightness", "contrast", "saturation", "hue"}
    assert half.model_dump(exclude=changed) == POLICIES["simclr"].model_dump(exclude=changed)
    assert named_policy("supcon") == POLICIES["supcon"]


def test_hue_stops_at_a_half_turn_however_strong():
    assert named_policy("simclr", strength=10).hue == 0.5


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        named_policy("simclrr")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip", 1.5), ("flip", -0.1), ("jitter", 2), ("grey", 1.01), ("brightness", -1), ("contrast", -1),
        ("saturation", float("nan")), ("hue", 0.6), ("rotate_degrees", 181), ("shift", 1.2), ("shift", -0.1),
        ("crop_area", (0.5, 0.2)), ("crop_area", (0, 1)), ("crop_area", (0.5, 1.1)), ("crop_aspect", (2, 1)),
        ("crop_aspect", (0, 1)), ("scale", (0, 1)), ("scale", (2, 1)), ("scale", (1, float("inf"))),
        ("blur", 0.5),
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        Policy(**{field: value})


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match="brightness"):
        named_policy("simclr", strength=-1)


def test_every_field_is_described():
    assert all(field.description for field in Policy.model_fields.values())


def test_policies_are_read_without_torch():
    code = "import sys, nearfar.views.policies; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
