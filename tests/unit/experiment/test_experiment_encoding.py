"""The example that an encoder is built with before any image is decoded for training."""

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nearfar.data.center import CenterSquare
from nearfar.data.sources import open_source
from nearfar.experiment.encoding import channel_statistics, example_of


class Pictures:
    """Three images of two colors, left and right."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, row: int) -> Any:
        image = np.zeros((12, 20, 3), np.uint8)
        image[:, 10:] = 255
        return image, row


class Damaged:
    """A reader whose first images cannot be decoded."""

    def __init__(self, bad: int) -> None:
        self.bad = bad

    def key(self) -> None:
        return None

    def read(self) -> Any:
        yield from ((row, b"no image") for row in range(self.bad))
        yield self.bad, np.full((9, 9, 3), 255, np.uint8)


def test_the_example_is_the_evaluation_view_of_the_first_image() -> None:
    example = example_of(CenterSquare(8), open_source(Pictures()))
    assert example.shape == (1, 3, 8, 8)
    assert example.dtype == torch.float32
    assert torch.allclose(example[..., :2], torch.full((1, 3, 8, 2), -1.0), atol=0.05)
    assert torch.allclose(example[..., -2:], torch.full((1, 3, 8, 2), 1.0), atol=0.05)


def test_without_images_it_is_gray() -> None:
    example = example_of(CenterSquare(8, 0.875))
    assert example.shape == (1, 3, 8, 8)
    assert example.abs().max() < 0.01


@pytest.mark.parametrize(("bad", "white"), [(3, True), (500, False)])
def test_images_that_cannot_be_decoded_are_passed_over_a_few_at_most(bad: int, white: bool) -> None:
    listing = replace(open_source(Pictures()), reader=Damaged(bad))
    value = 1.0 if white else 0.0
    assert torch.allclose(
        example_of(CenterSquare(8), listing), torch.full((1, 3, 8, 8), value), atol=0.01
    )


def test_channel_statistics_are_those_of_the_pixels_without_holding_them_as_numbers() -> None:
    images = torch.randint(
        0, 200, (300, 40, 40, 3), generator=torch.Generator().manual_seed(0)
    ).byte()
    images[..., 2] = 7  # a channel that does not vary
    data: Any = SimpleNamespace(
        split=lambda name: torch.arange(300 if name == "train" else 0),
        rows=lambda index: SimpleNamespace(images=images[index]),
        few=lambda rows, most: rows[:most],
    )
    pixels = images.numpy().reshape(-1, 3) / 255
    tracemalloc.start()
    mean, std = channel_statistics(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(std[:2], pixels.std(axis=0)[:2], rtol=1e-10)
    assert std[2] == 1e-3
    assert peak < pixels.nbytes / 2
