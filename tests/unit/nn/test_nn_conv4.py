"""Conv4 is the network of the relational-reasoning paper, to the parameter."""

import math

import pytest
import torch
from torch import nn

from nearfar.nn.building import build_encoder
from nearfar.nn.conv4 import WIDTHS, conv4


def test_conv4_has_24648_parameters_and_width_64() -> None:
    assert sum(parameter.numel() for parameter in conv4().parameters()) == 24_648
    assert build_encoder("conv4", example=torch.zeros(1, 3, 32, 32)).width == 64


def test_conv4_is_four_times_convolution_norm_relu_with_average_pooling() -> None:
    layers = list(conv4())
    kinds = [type(layer).__name__ for layer in layers]
    block = ["Conv2d", "BatchNorm2d", "ReLU"]
    pooled = [*block, "AvgPool2d"]
    assert kinds == [*pooled, *pooled, *pooled, *block, "AdaptiveAvgPool2d", "Flatten"]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [
        (3, 8),
        (8, 16),
        (16, 32),
        (32, 64),
    ]
    for c in convolutions:
        assert (c.kernel_size, c.stride, c.padding, c.bias) == ((3, 3), (1, 1), (1, 1), None)
    assert [layer.kernel_size for layer in layers if isinstance(layer, nn.AvgPool2d)] == [2, 2, 2]
    assert WIDTHS == (8, 16, 32, 64)


def test_conv4_halves_the_side_three_times_before_global_pooling() -> None:
    net = conv4().eval()
    assert net[:-2](torch.zeros(2, 3, 32, 32)).shape == (2, 64, 4, 4)
    assert net[:-2](torch.zeros(2, 3, 8, 8)).shape == (2, 64, 1, 1)


def test_convolutions_start_from_a_normal_of_the_papers_deviation() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nets = [conv4() for _ in range(8)]
    for place in (0, 4, 8, 12):
        weights = torch.cat([net[place].weight.detach().flatten() for net in nets])
        want = math.sqrt(2 / (9 * nets[0][place].out_channels))
        assert float(weights.std()) == pytest.approx(want, rel=4 / math.sqrt(2 * len(weights)))
        assert abs(float(weights.mean())) < 4 * want / math.sqrt(len(weights))
        # a uniform one of that deviation ends at 1.73
        assert float(weights.abs().max()) > 2.5 * want


def test_conv4_takes_other_channels() -> None:
    assert conv4(1).eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 64)
