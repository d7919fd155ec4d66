"""Multiply-adds are counted from shapes: by hand, and as the literature has them."""

import pytest
import torch
from torch import nn

from nearfar.core.errors import UserError
from nearfar.nn.arithmetic import Arithmetic, arithmetic_by_name, arithmetic_of
from nearfar.nn.building import build_encoder, own_encoder


def test_a_network_s_multiply_adds_are_those_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3, bias=False),  # 8 px -> 6 px: 36 x 6 outputs of 9 each
        nn.Conv2d(6, 4, 1),  # 36 x 4 of 6
        nn.ConvTranspose2d(4, 4, 3, groups=2),  # 36 inputs of 4, each to 9 x 2
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),  # 20
    )
    encoder = own_encoder(net, torch.zeros(1, 3, 8, 8)).train()
    found = arithmetic_of(encoder)
    assert found == Arithmetic(36 * 6 * 9 + 36 * 4 * 6 + 36 * 4 * 18 + 20, 36 * 6 * 9 + 36 * 4 * 18)
    assert encoder.training
    assert not encoder.net[1].weight.grad


def test_an_encoder_of_rows_of_features_is_counted_too():
    found = arithmetic_of(own_encoder(nn.Linear(4, 5), torch.zeros(1, 4)))
    assert found == Arithmetic(20, 0)
    assert found.narrow_share == 0


@pytest.mark.parametrize(
    ("name", "side", "millions", "narrow"),
    [
        ("conv4", 8, 0.069120, 0),
        ("resnet18", 224, 1814, 0),  # torchvision's table: 1.81 G
        ("mobilenetv3_small_100", 224, 55, 0.134),  # its paper's: 56 M, with its classifier
        ("convnext_atto", 224, 547, 0.053),  # timm's table: .55 G
        ("regnety_004", 224, 401, 0),  # groups of eight channels
    ],
)
def test_known_networks_are_counted_without_being_built(name, side, millions, narrow):
    before = torch.get_rng_state()
    found = arithmetic_by_name(name, side, "auto")
    assert found.multiply_adds / 1e6 == pytest.approx(millions, rel=0.01)
    assert found.narrow_share == pytest.approx(narrow, abs=0.001)
    assert torch.equal(torch.get_rng_state(), before)


def test_shapes_alone_give_what_a_forward_gives():
    encoder = build_encoder("mobilenetv3_small_100", example=torch.zeros(1, 3, 32, 32))
    assert arithmetic_of(encoder) == arithmetic_by_name("mobilenetv3_small_100", 32, "auto")


def test_an_encoder_that_cannot_take_the_size_is_refused_here_already():
    with pytest.raises(UserError, match=r"encoder\.name: conv4: cannot take images of 4 x 4 px"):
        arithmetic_by_name("conv4", 4, "auto")
