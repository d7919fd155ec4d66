"""ResNet-8, ResNet-32 and ResNet-56, the networks for small images of the relational-reasoning
paper.
"""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn
from torchvision.models.resnet import BasicBlock

WIDTH_AND_STRIDE = ((16, 1), (32, 2), (64, 2))  # of each stage
BLOCKS: Mapping[str, int] = MappingProxyType({"resnet8": 1, "resnet32": 5, "resnet56": 9})


def small_resnet(blocks: int, channels: int = 3) -> nn.Sequential:
    """(R, channels, H, W) -> (R, 64), with so many blocks a stage: 77,392, 466,256 and 855,120
    parameters for 1, 5 and 9.

    He et al. 2016, arXiv:1512.03385, section 4.2, as Patacchiola & Storkey 2020, arXiv:2006.05849,
    and their public code have them: 3x3 convolution to 16 channels; three stages of basic blocks of
    16, 32 and 64 channels with strides 1, 2, 2, the shortcut of a changed width a 1x1 convolution
    with BatchNorm; global average pooling. Convolutions start from N(0, sqrt(2 / (k^2 * out))).
    """
    width = WIDTH_AND_STRIDE[0][0]
    stem = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )
    stages = []
    for wider, stride in WIDTH_AND_STRIDE:
        first = BasicBlock(width, wider, stride, _shortcut(width, wider, stride))
        stages.append(nn.Sequential(first, *(BasicBlock(wider, wider) for _ in range(blocks - 1))))
        width = wider
    net = nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


def _shortcut(width: int, wider: int, stride: int) -> nn.Module | None:
    if width == wider:
        return None
    convolution = nn.Conv2d(width, wider, 1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(wider))
