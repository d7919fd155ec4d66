"""Encoders that several files of tests share, because one takes a quarter of a second to make."""

import pytest
import torch

from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder


@pytest.fixture(scope="module")
def small_resnet() -> Encoder:
    """ResNet-18 for 32 px."""
    return build_encoder("resnet18", example=torch.zeros(1, 3, 32, 32))


@pytest.fixture(scope="module")
def own_resnet() -> Encoder:
    """ResNet-18 for 64 px."""
    return build_encoder("resnet18", example=torch.zeros(1, 3, 64, 64))
