"""Blur: torchvision's, but each row with its own sigma."""

import pytest
import torch
import torchvision.transforms.functional as tv

from nearfar.views.kernels.blur import blur


def noise(rows: int, size: int) -> torch.Tensor:
    return 255 * torch.rand(rows, 3, size, size, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize(("size", "radius"), [(8, 1), (9, 2), (32, 3), (33, 11), (12, 11), (2, 1)])
def test_each_row_is_blurred_as_by_torchvision(size, radius):
    sigmas = torch.tensor([0.1, 0.5, 1.0, 2.0, 30.0])
    pixels = noise(len(sigmas), size)
    ours = blur(pixels, sigmas, radius)
    for row, sigma in enumerate(sigmas.tolist()):
        theirs = tv.gaussian_blur(pixels[row], [2 * radius + 1] * 2, [sigma] * 2)
        assert (ours[row] - theirs).abs().max() < 1e-3
    assert (ours[-1] - pixels[-1]).abs().max() > 10


def test_no_sigma_changes_no_bit_and_the_input_stays_as_it_was():
    pixels = noise(2, 16)
    before = pixels.clone()
    ours = blur(pixels, torch.tensor([0.0, 2.0]), 3)
    assert torch.equal(ours[0], before[0])
    assert torch.equal(pixels, before)
    assert not torch.equal(ours[1], before[1])


def test_a_row_depends_on_no_other_row():
    pixels, sigmas = noise(37, 15), torch.linspace(0, 3, 37)
    together = blur(pixels, sigmas, 4)
    for row in range(37):
        assert torch.equal(blur(pixels[row : row + 1], sigmas[row : row + 1], 4)[0], together[row])


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_radius_beyond_the_picture_ends_at_its_side(size):
    pixels, sigmas = noise(2, size), torch.tensor([0.5, 2.0])
    assert torch.equal(blur(pixels, sigmas, 50), blur(pixels, sigmas, size - 1))


def test_no_rows_no_work():
    assert blur(torch.empty(0, 3, 8, 8), torch.empty(0), 2).shape == (0, 3, 8, 8)
