import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as tv

from nearfar.core.types import StoredImages
from nearfar.views.plan import evaluation_view
from nearfar.views.warp.reference import SHRINK, levels, render

RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def stored(images: torch.Tensor, sizes: list[tuple[int, int]], side: int) -> StoredImages:
    """`images` (3, H, W) of bytes in float, squashed to a square of that side and of half of it."""

    def squash(to: int) -> torch.Tensor:
        small = tv.resize(images, [to, to], antialias=True).round().clamp(0, 255).to(torch.uint8)
        return small.permute(0, 2, 3, 1)

    return StoredImages(squash(side), squash(side // 2), torch.tensor(sizes))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 255 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def square(share: float, n: int = 1) -> torch.Tensor:
    return torch.tensor([[[share, 0, 0], [0, share, 0]]] * n)[None]


def poisoned(images: int, half: int) -> StoredImages:
    """Each level filled with one number, so that a view tells which one it read."""
    return StoredImages(
        torch.full((1, 32, 32, 3), images, dtype=torch.uint8),
        torch.full((1, 16, 16, 3), half, dtype=torch.uint8),
        torch.tensor([[32, 32]]),
    )


@pytest.mark.parametrize(("share", "value"), [(0.5, 200), (0.97, 200), (0.98, 50), (1.0, 50)])
def test_a_warp_that_shrinks_reads_the_half_level(share, value):
    view = render(poisoned(200, 50), square(share), None, size=16, **RAW)
    assert torch.allclose(view, torch.tensor(value / 255))


def test_levels_go_on_by_halves():
    shares = torch.tensor([0.1, SHRINK / 8 * 0.99, SHRINK / 8 * 1.01, SHRINK / 4 * 1.01, SHRINK / 2 * 1.01])
    warps = torch.diag_embed(shares[:, None].expand(-1, 2))
    assert levels(F.pad(warps, (0, 1)), side=64, size=8).tolist() == [0, 0, 1, 2, 3]


def test_a_view_eight_times_smaller_than_the_store_does_not_alias():
    images = noise(1, 3, 64, 64)
    view = render(stored(images, [(64, 64)], 64), square(1.0), None, size=8, **RAW)[0]
    means = F.avg_pool2d(images, 8) / 255
    assert (view - means).std() < 0.4 * means.std()


def test_an_evaluation_view_is_near_an_antialiased_resize():
    photo = F.interpolate(noise(1, 3, 24, 32), scale_factor=4, mode="bicubic").clamp(0, 255)  # 128 by 96
    photo = (photo + 0.3 * (noise(1, 3, 96, 128, seed=1) - 127)).clamp(0, 255)
    ours = evaluation_view(stored(photo, [(128, 96)], 64), size=32, crop=1.0, **RAW)
    theirs = tv.resize(tv.center_crop(photo, [96, 96]), [32, 32], antialias=True) / 255
    aliased = tv.resize(tv.center_crop(photo, [96, 96]), [32, 32], antialias=False) / 255
    assert (ours - theirs).square().mean().sqrt() < 0.02
    assert (ours - theirs).square().mean() < 0.1 * (aliased - theirs).square().mean()


def test_an_evaluation_view_of_a_square_image_of_its_own_size_is_the_image():
    images = noise(2, 3, 8, 8).round()
    ours = evaluation_view(stored(images, [(8, 8)] * 2, 8), size=8, crop=1.0, **RAW)
    assert torch.allclose(ours, images / 255, atol=1e-5)


def test_a_smaller_crop_of_the_evaluation_view_is_its_middle():
    images = noise(1, 3, 32, 32).round()
    ours = evaluation_view(stored(images, [(32, 32)], 32), size=16, crop=0.5, **RAW)
    assert torch.allclose(ours, images[..., 8:24, 8:24] / 255, atol=1e-5)


@pytest.mark.parametrize(("width", "height"), [(200, 100), (60, 150), (90, 90)])
def test_a_circle_stays_a_circle_whatever_the_squash(width, height):
    at_x, at_y = torch.arange(width) + 0.5 - width / 2, torch.arange(height) + 0.5 - height / 2
    radius = 0.3 * min(width, height)
    disc = 255.0 * ((at_x**2 + at_y[:, None] ** 2) < radius**2).expand(1, 3, -1, -1)
    view = evaluation_view(stored(disc, [(width, height)], 64), size=32, crop=1.0, **RAW)[0, 0]
    across, down = view[16].sum(), view[:, 16].sum()
    assert across == pytest.approx(0.6 * 32, abs=0.7)
    assert down == pytest.approx(0.6 * 32, abs=0.7)


def test_outside_the_image_its_edge_values_go_on():
    images = noise(1, 3, 8, 8).round()
    zoomed_out = render(stored(images, [(8, 8)], 8), square(2.0), None, size=16, **RAW)
    inside = zoomed_out[0, :, :, 4:12, 4:12]
    assert torch.allclose(inside, images / 255, atol=1e-5)
    assert torch.allclose(zoomed_out[0, :, :, 4:12, :4], inside[..., :1].expand(-1, -1, -1, 4), atol=1e-5)


def test_views_are_normalised_channel_by_channel():
    image = torch.tensor([0.0, 51.0, 255.0])[None, :, None, None].expand(1, 3, 8, 8)
    view = render(
        stored(image, [(8, 8)], 8), square(1.0), None, size=8, mean=(0.5, 0.1, 0.4), std=(0.5, 0.2, 0.3)
    )
    assert torch.allclose(view[0, 0].mean((1, 2)), torch.tensor([-1.0, 0.5, 2.0]), atol=1e-5)


def test_each_row_is_warped_and_coloured_by_its_own_matrices():
    images = noise(3, 3, 16, 16).round()
    warp = torch.stack([square(0.5)[0, 0], square(1.0)[0, 0], -square(1.0)[0, 0]])[None]
    warp = torch.cat([warp, warp.flip(1)])
    brightness = torch.tensor([[0.1, 0.5, 1.0], [0.2, 0.3, 0.4]])
    colour = torch.eye(3, 4).expand(2, 3, 3, 4) * brightness[..., None, None]
    whole = render(stored(images, [(16, 16)] * 3, 16), warp, colour, size=8, **RAW)
    for v in range(2):
        for b in range(3):
            one = stored(images[b : b + 1], [(16, 16)], 16)
            alone = render(one, warp[v : v + 1, b : b + 1], colour[v : v + 1, b : b + 1], size=8, **RAW)
            assert torch.equal(whole[v, b], alone[0, 0])


def test_outside_the_image_is_black_where_the_policy_says_so():
    white = torch.full((1, 3, 8, 8), 255.0)
    from_afar = square(2.0)  # the image fills the middle quarter of the view
    edge, black = (
        render(stored(white, [(8, 8)], 8), from_afar, None, size=16, outside=outside, **RAW)
        for outside in ("edge", "black")
    )
    assert float(edge.min()) == 1.0
    assert float(black[..., :3, :].max()) == 0.0
    assert float(black[..., 6:10, 6:10].min()) == 1.0
