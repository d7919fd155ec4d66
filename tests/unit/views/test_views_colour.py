import itertools

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.views.colour import GREY, colour_matrices, compose
from nearfar.views.draws import view_keys
from nearfar.views.policies import Policy
from nearfar.views.warp.reference import recolour

FACTORS = st.floats(0.0, 2.0)
TURNS = st.floats(-0.5, 0.5)


def picture(low: float = 0.0, high: float = 255.0) -> torch.Tensor:
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    return low + (high - low) * noise


def ours(x: torch.Tensor, b: float = 1, c: float = 1, s: float = 1, h: float = 0) -> torch.Tensor:
    return recolour(x, compose(*(torch.tensor([float(v)]) for v in (b, c, s, h))))


@settings(max_examples=30, deadline=None)
@given(FACTORS)
def test_brightness_contrast_and_saturation_are_those_of_torchvision(factor):
    x = picture()
    for name, theirs in (("b", tv.adjust_brightness), ("c", tv.adjust_contrast), ("s", tv.adjust_saturation)):
        difference = ours(x, **{name: factor}) - 255 * theirs(x / 255, factor)
        assert difference.abs().max() < 1, name


def test_saturation_zero_is_torchvisions_grey():
    x = picture()
    assert (ours(x, s=0) - tv.rgb_to_grayscale(x, num_output_channels=3)).abs().max() < 1


@settings(max_examples=30, deadline=None)
@given(TURNS)
def test_hue_keeps_the_grey_value_of_each_pixel(turn):
    x = picture(90, 160)
    weights = torch.tensor(GREY)[:, None, None]
    assert torch.allclose((ours(x, h=turn) * weights).sum(1), (x * weights).sum(1), atol=1e-2)


def test_hue_turns_the_way_torchvision_does_and_not_far_from_it():
    x = picture(90, 160)
    for turn in (-0.2, -0.1, 0.1, 0.2):  # as far as any policy turns
        theirs = 255 * tv.adjust_hue(x / 255, turn)
        right, wrong = ((ours(x, h=t) - theirs).abs().mean() for t in (turn, -turn))
        assert right < 12  # grey levels, of channels that spread over 70
        assert right < 0.6 * wrong


def test_a_whole_turn_of_hue_changes_nothing():
    x = picture()
    assert torch.allclose(ours(x, h=1), x, atol=1e-2)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(0.8, 1.2)] * 3), st.floats(-0.1, 0.1))
def test_the_four_commute_and_one_matrix_is_all_of_them_in_every_order(factors, turn):
    x = picture(100, 150)  # nothing leaves [0, 255], where clipping would end the law
    together = ours(x, *factors, turn)
    single = {"b": factors[0], "c": factors[1], "s": factors[2], "h": turn}
    orders = list(itertools.permutations(single))
    for order in orders:
        y = x
        for name in order:
            y = ours(y, **{name: single[name]})
        assert torch.allclose(y, together, atol=1e-2), order
    assert len(orders) == 24


def test_torchvisions_sequence_is_ours_where_nothing_is_clipped():
    x = picture(100, 150)
    for order in itertools.permutations(range(3)):
        y = x / 255
        for i in order:
            y = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)[i](y, (1.2, 0.7, 1.3)[i])
        assert (ours(x, 1.2, 0.7, 1.3) - 255 * y).abs().max() < 1, order


def test_a_recoloured_view_is_clipped_to_what_a_byte_can_hold():
    bright = ours(picture(), b=2, c=2, s=2)
    assert bright.min() == 0
    assert bright.max() == 255


def drawn(policy: Policy, n: int = 4000) -> torch.Tensor:
    index = torch.arange(n)
    matrices = colour_matrices(
        policy, view_keys(1, seed=0, epoch=0, index=index, draw=torch.zeros_like(index))
    )
    assert matrices is not None
    return matrices[0]


def test_a_policy_without_colour_has_no_matrix():
    keys = torch.zeros(2, 3, dtype=torch.int64)
    assert colour_matrices(Policy(flip=0.5, brightness=0.8), keys) is None


def test_jitter_and_grey_happen_as_often_as_the_policy_says():
    identity = torch.cat([torch.eye(3), torch.zeros(3, 1)], 1)
    for name in ("brightness", "contrast", "saturation", "hue"):
        jittered = (drawn(Policy(jitter=0.8, **{name: 0.4})) - identity).abs().amax((1, 2)) > 1e-5
        assert jittered.float().mean() == pytest.approx(0.8, abs=0.03), name
    rows = drawn(Policy(grey=0.2, jitter=0.8, brightness=0.4, hue=0.1))
    grey = (rows[:, 0] - rows[:, 1]).abs().amax(1) < 1e-5
    assert grey.float().mean() == pytest.approx(0.2, abs=0.03)


def test_amplitudes_bound_the_factors_and_are_reached():
    brightness = drawn(Policy(jitter=1, brightness=0.8))[:, 0].sum(1)
    assert 0.2 <= brightness.min() < 0.21
    assert 1.79 < brightness.max() <= 1.8
    assert drawn(Policy(jitter=1, brightness=1.5))[:, 0].sum(1).min() >= 0
    contrast = drawn(Policy(jitter=1, contrast=0.4))[:, 0, 3]
    assert -0.4 <= contrast.min() < -0.39
    assert 0.39 < contrast.max() <= 0.4
