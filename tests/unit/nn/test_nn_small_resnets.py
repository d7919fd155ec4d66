"""ResNet-8, -32 and -56 as their paper states them."""

import math

import pytest
import torch
from torch import nn

from nearfar.nn.building import build_encoder
from nearfar.nn.small_resnets import BLOCKS, small_resnet

# Patacchiola & Storkey 2020, table of backbones: .077, .466 and .855 million
PARAMETERS = {"resnet8": 77_392, "resnet32": 466_256, "resnet56": 855_120}


@pytest.mark.parametrize("name", list(BLOCKS))
def test_they_have_the_parameters_that_are_published(name: str) -> None:
    encoder = build_encoder(name, example=torch.zeros(1, 3, 32, 32))
    assert sum(parameter.numel() for parameter in encoder.parameters()) == PARAMETERS[name]
    assert (encoder.width, encoder.built_by, encoder.stem) == (64, "nearfar", ())
    assert len(
        [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    ) == (6 * BLOCKS[name] + 1)


@pytest.mark.parametrize("side", [8, 32, 33])
def test_two_of_three_stages_halve_the_image_and_the_map_is_pooled(side: int) -> None:
    encoder = build_encoder("resnet8", example=torch.zeros(1, 3, side, side)).eval()
    rows = torch.randn(2, 3, side, side)
    features = encoder.feature_map(rows)
    assert features.shape == (2, 64, -(-side // 4), -(-side // 4))
    assert torch.equal(features.mean(dim=(2, 3)), encoder(rows))
    assert torch.equal(encoder.pool(features), encoder(rows))


def test_convolutions_start_as_wide_as_he_et_al_have_them() -> None:
    torch.manual_seed(0)
    for module in small_resnet(9).modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] ** 2 * module.out_channels
            n = module.weight.numel()
            wanted = math.sqrt(2 / fan_out)
            assert float(module.weight.detach().std()) == pytest.approx(
                wanted, rel=5 / math.sqrt(n)
            )
