"""Tiles cut out of views, and what closes their shortcuts."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.types import DataFacts
from nearfar.views import tiles

DATA = DataFacts("toy", 8, (), (), 0, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


def in_rgb(views: Tensor) -> Tensor:
    return (
        views * views.new_tensor(DATA.std)[:, None, None]
        + views.new_tensor(DATA.mean)[:, None, None]
    )


def normalized(rgb: Tensor) -> Tensor:
    return (rgb - rgb.new_tensor(DATA.mean)[:, None, None]) / rgb.new_tensor(DATA.std)[
        :, None, None
    ]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_tile_is_what_stands_at_its_place_channel_by_channel() -> None:
    views = numbers(2, 3, 3, 10, 10)
    source = torch.Generator().manual_seed(1)
    top, left = (torch.randint(0, 7, (2, 3, 5, 3), generator=source) for _ in range(2))
    found = tiles.cut(views, top, left, 4)
    assert found.shape == (5, 2, 3, 3, 4, 4)
    for t, v, b, c in torch.cartesian_prod(*(torch.arange(n) for n in (5, 2, 3, 3))).tolist():
        y, x = int(top[v, b, t, c]), int(left[v, b, t, c])
        assert torch.equal(found[t, v, b, c], views[v, b, c, y : y + 4, x : x + 4])


def test_places_fill_their_cell_and_never_leave_it() -> None:
    u, at = numbers(4, 500), torch.arange(4)[:, None]
    places = tiles.grid_places(u, at, 8, 5)
    assert [places[cell].unique().tolist() for cell in range(4)] == [
        list(range(8 * c, 8 * c + 4)) for c in range(4)
    ]
    assert (
        tiles.grid_places(torch.tensor(1 - 1e-9, dtype=torch.float64), torch.tensor(3), 8, 5).item()
        == 27
    )


def test_green_magenta_is_taken_out_and_grays_stay() -> None:
    rgb = numbers(1, 2, 3, 4, 4)
    out = in_rgb(tiles.without_green_magenta(normalized(rgb), DATA))
    a = torch.tensor([-1.0, 2.0, -1.0], dtype=torch.float64)
    assert float(torch.einsum("c,vbchw->vbhw", a, out).abs().max()) < 1e-12
    fringe = normalized(rgb + 0.3 * a[:, None, None])  # the same picture seen through a worse lens
    assert torch.allclose(in_rgb(tiles.without_green_magenta(fringe, DATA)), out, atol=1e-12)
    gray = rgb[:, :, :1].expand_as(rgb)
    assert torch.allclose(
        in_rgb(tiles.without_green_magenta(normalized(gray), DATA)), gray, atol=1e-12
    )


def test_gray_is_the_luma_in_three_equal_channels() -> None:
    rgb = numbers(2, 1, 3, 3, 3)
    out = in_rgb(tiles.grayed(normalized(rgb), DATA))
    luma = 0.299 * rgb[:, :, 0] + 0.587 * rgb[:, :, 1] + 0.114 * rgb[:, :, 2]
    assert all(torch.allclose(out[:, :, c], luma, atol=1e-12) for c in range(3))


def test_a_standardized_tile_tells_neither_its_brightness_nor_its_contrast() -> None:
    tile = numbers(3, 6, 6)
    out = tiles.standardized(tile)
    assert torch.allclose(out.mean(dim=(-2, -1)), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(out.square().mean(dim=(-2, -1)), torch.ones(3, dtype=torch.float64))
    assert torch.allclose(tiles.standardized(3 * tile - 7), out)
    flat = torch.full((3, 6, 6), 2.5, requires_grad=True)
    assert not tiles.standardized(flat).any()
    assert float(tiles.standardized(flat.detach() + 1e-4 * numbers(3, 6, 6)).abs().max()) < 0.01


def test_images_are_shrunk_in_the_five_ways_of_torch_each_by_its_own() -> None:
    bank = tiles.shrinkings(8, 4)
    images = numbers(5, 3, 8, 8).float()
    found = tiles.resampled(images, bank, torch.arange(5))
    for number, (mode, smooth) in enumerate(tiles.SHRINKING):
        more = {"antialias": True} if smooth else {}
        known = F.interpolate(images[number][None], size=4, mode=mode, **more)[0]
        assert torch.allclose(found[number], known, atol=1e-5), mode
    pairs = [(bank[i] - bank[j]).abs().max() for i in range(5) for j in range(i)]
    assert min(map(float, pairs)) > 0.01
    assert torch.allclose(bank.sum(dim=2), torch.ones(5, 4), atol=1e-5)  # a flat image stays


@pytest.mark.parametrize(("side", "least"), [(12, 10), (10, 10), (24, 10)])
def test_coarser_ones_keep_a_flat_tile_and_lose_what_is_fine(side: int, least: int) -> None:
    bank = tiles.coarsenings(side, least)
    assert len(bank) == side - least + 1
    assert torch.equal(bank[-1], torch.eye(side))
    assert torch.allclose(bank.sum(dim=2), torch.ones(len(bank), side), atol=1e-5)
    checks = (torch.arange(side) % 2 * 2.0 - 1).expand(side, side) * (
        torch.arange(side) % 2 * 2.0 - 1
    )[:, None]
    left = (
        tiles.resampled(checks[None, None], bank[:1], torch.zeros(1, dtype=torch.int64))
        .square()
        .mean()
    )
    assert float(left) < 0.6 if side > least else float(left) == 1
