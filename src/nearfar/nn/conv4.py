"""Conv4, the small network of the relational-reasoning paper."""

import math

from torch import nn

WIDTHS = (8, 16, 32, 64)


def conv4(channels: int = 3) -> nn.Sequential:
    """(R, channels, H, W) -> (R, 64); 24,648 parameters with three channels.

    Patacchiola & Storkey 2020, arXiv:2006.05849, and its public code: four times 3x3 convolution
    (padding 1, no bias), BatchNorm, ReLU; 2x2 average pooling after the first three, global average
    pooling after the fourth. Convolutions start from N(0, sqrt(2 / (9 * out))). Not the 64-64-64-64
    net of the few-shot literature. Sides from 8 px, because three poolings halve them.
    """
    layers: list[nn.Module] = []
    for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        nn.init.normal_(convolution.weight, 0.0, math.sqrt(2 / (9 * after)))
        pool = nn.AdaptiveAvgPool2d(1) if after == WIDTHS[-1] else nn.AvgPool2d(2)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), pool]
    return nn.Sequential(*layers, nn.Flatten())
