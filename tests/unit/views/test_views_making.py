"""Groups, the centered square, levels against aliasing, what a person is shown."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as tv
from views_pictures import (
    NORMAL,
    RAW,
    WHERE,
    all_views_of,
    pictures,
    policy,
    store,
    store_of,
    views_of,
)

from nearfar.core.errors import ConfigError
from nearfar.core.types import StoredImages
from nearfar.data.decoding import half_side
from nearfar.views import params, program
from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.making import ViewPlan, make_views, show
from nearfar.views.operations import Crop, Cutout, Flip, Rotate, Scale, Translate
from nearfar.views.policies import named_policy


def squashed(images: torch.Tensor, sizes: list[tuple[int, int]], side: int) -> StoredImages:
    """`images` (n, 3, H, W) of [0, 255] in float, squashed to a square of that side and of half of
    it.
    """

    def squash(to: int) -> torch.Tensor:
        small = tv.resize(images, [to, to], antialias=True).round().clamp(0, 255).to(torch.uint8)
        return small.permute(0, 2, 3, 1).contiguous()

    return StoredImages(squash(side), squash(half_side(side)), torch.tensor(sizes))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 255 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def centered(stored: StoredImages, size: int, **how: Any) -> torch.Tensor:
    """The one view that a policy without operations shows, (B, 3, size, size)."""
    return views_of(stored, ViewPlan(named_policy("none"), 1, size, **{**RAW, **how}))[0]


def poisoned(images: int, half: int) -> StoredImages:
    """Each level filled with one number, so that a view tells which one it read."""
    levels = (
        torch.full((1, side, side, 3), v, dtype=torch.uint8)
        for side, v in ((32, images), (16, half))
    )
    return StoredImages(*levels, torch.tensor([[32, 32]]))


@pytest.mark.parametrize(("share", "value"), [(0.5, 200), (0.97, 200), (0.98, 50), (1.0, 50)])
def test_a_warp_that_shrinks_reads_the_half_level(share, value):
    for backend in ("cpu", "reference"):
        plan = ViewPlan(policy(Scale(factor=(1 / share, 1 / share))), 1, 16, **RAW)
        assert torch.allclose(
            views_of(poisoned(200, 50), plan, backend=backend), torch.tensor(value / 255)
        )


def test_a_view_eight_times_smaller_than_the_store_does_not_alias():
    images = noise(1, 3, 64, 64)
    view = centered(squashed(images, [(64, 64)], 64), 8)
    means = F.avg_pool2d(images, 8) / 255
    assert (view - means).std() < 0.4 * means.std()


def test_the_centered_square_is_near_an_antialiased_resize():
    # 128 by 96
    photo = F.interpolate(noise(1, 3, 24, 32), scale_factor=4, mode="bicubic").clamp(0, 255)
    photo = (photo + 0.3 * (noise(1, 3, 96, 128, seed=1) - 127)).clamp(0, 255)
    ours = centered(squashed(photo, [(128, 96)], 64), 32)
    theirs, aliased = (
        tv.resize(tv.center_crop(photo, [96, 96]), [32, 32], antialias=antialias) / 255
        for antialias in (True, False)
    )
    assert (ours - theirs).square().mean().sqrt() < 0.02
    assert (ours - theirs).square().mean() < 0.1 * (aliased - theirs).square().mean()


def test_the_centered_square_of_a_square_image_of_its_own_size_is_the_image():
    images = pictures(2, 8)
    assert torch.allclose(centered(store(images), 8), images / 255, atol=1e-5)


@pytest.mark.parametrize(("width", "height"), [(200, 100), (60, 150), (90, 90)])
def test_a_circle_stays_a_circle_whatever_the_squash(width, height):
    at_x, at_y = torch.arange(width) + 0.5 - width / 2, torch.arange(height) + 0.5 - height / 2
    radius = 0.3 * min(width, height)
    disc = 255.0 * ((at_x**2 + at_y[:, None] ** 2) < radius**2).expand(1, 3, -1, -1)
    view = centered(squashed(disc, [(width, height)], 64), 32)[0, 0]
    assert view[16].sum() == pytest.approx(0.6 * 32, abs=0.7)
    assert view[:, 16].sum() == pytest.approx(0.6 * 32, abs=0.7)


def test_outside_the_image_its_edge_values_go_on_or_all_is_of_one_gray():
    images = pictures(1, 8)
    for backend in ("cpu", "reference"):
        for outside, value in (("edge", None), ("black", 0.0), ("gray", 128 / 255)):
            from_afar = policy(Scale(factor=(0.5, 0.5)), outside=outside)
            view = views_of(store(images), ViewPlan(from_afar, 1, 16, **RAW), backend=backend)[0]
            inside = view[0, :, 4:12, 4:12]
            left = inside[..., :1].expand(-1, -1, 4) if value is None else torch.tensor(value)
            assert torch.allclose(inside, images[0] / 255, atol=1e-5)
            assert torch.allclose(view[0, :, 4:12, :4], left, atol=1e-5)


def test_a_view_within_the_image_has_nothing_of_what_lies_outside():
    """Crops that touch the border, enlarged, so that their first pixels lie beyond the centers of
    the image's.
    """
    stored = store(pictures(20, 16))
    for operations in (
        (),
        (Crop(area=(0.08, 1)), Flip()),
        (Crop(area=(0.1, 0.3)), Rotate(degrees=(180, 180))),
    ):
        kinds = [policy(*operations, outside=outside) for outside in ("edge", "black", "gray")]
        for backend in ("cpu", "reference"):
            edge, *others = (
                views_of(stored, ViewPlan(kind, 4, 32, **RAW), backend=backend) for kind in kinds
            )
            for views in others:
                assert (views - edge).abs().max() < 1e-4


def test_a_view_beyond_the_image_on_one_axis_has_nothing_of_what_lies_outside_on_the_other():
    stored = store(torch.full((4, 3, 8, 8), 255, dtype=torch.uint8))
    for backend in ("cpu", "reference"):
        plan = ViewPlan(
            policy(Translate(axis="x", fraction=(0.5, 0.5)), outside="black"), 1, 32, **RAW
        )
        view = views_of(stored, plan, backend=backend)
        assert view[..., 20:].min() > 1 - 1e-5
        assert view[..., :12].max() == 0


def test_kinds_of_one_size_keep_what_lies_outside_each():
    afar = (Scale(factor=(0.5, 0.5)),)
    kinds = (
        Kind(operations=afar, outside="gray"),
        Kind(operations=afar, outside="black"),
        Kind(operations=afar),
    )
    tiled = Kind(
        operations=afar, outside="gray", tiles=Tiles(grid=2, side=1.0, jitter=0.0), count=1
    )
    dark = tiled.model_copy(update={"outside": "black"})
    white = store(torch.full((2, 3, 8, 8), 255, dtype=torch.uint8))
    for backend in ("cpu", "reference"):
        views, tiles = all_views_of(
            white, ViewPlan(Policy(kinds=(*kinds, tiled, dark)), 3, 16, **RAW), backend=backend
        )
        corners = 255 * views[:, :, :, 0, 0]
        assert torch.allclose(
            corners, torch.tensor([128.0, 0, 255])[:, None, None].expand_as(corners), atol=1e-3
        )
        outer = 255 * tiles.amin((2, 3, 4))
        assert torch.allclose(
            outer, torch.tensor([128.0] * 4 + [0.0] * 4)[:, None].expand_as(outer), atol=1e-3
        )


def test_views_are_normalized_channel_by_channel():
    image = (
        torch.tensor([0, 51, 255], dtype=torch.uint8)[None, :, None, None]
        .expand(1, 3, 8, 8)
        .contiguous()
    )
    view = centered(store(image), 8, mean=(0.5, 0.1, 0.4), std=(0.5, 0.2, 0.3))
    assert torch.allclose(view[0].mean((1, 2)), torch.tensor([-1.0, 0.5, 2.0]), atol=1e-5)


def test_views_of_one_size_stand_in_one_group_in_the_order_of_their_first():
    small = Kind(operations=(Flip(),), size=0.5, count=2)
    tiled = Kind(tiles=Tiles(grid=2, side=1.0), count=1)
    mixed = Policy(kinds=(Kind(), small, tiled, Kind(size=0.5)))
    plan = ViewPlan(mixed, 4, 16, **RAW)
    assert [group.size for group in plan.groups] == [16, 8, 8]  # tiles stand apart
    assert [group.views for group in plan.groups] == [2, 4, 4]
    assert [group.program.view[:, 0].tolist() for group in plan.groups] == [
        [0, 2],
        [1, 3, 4, 5],
        [6],
    ]
    assert [tuple(views.shape) for views in all_views_of(store_of(3, 16), plan)] == [
        (2, 3, 3, 16, 16),
        (4, 3, 3, 8, 8),
        (4, 3, 3, 8, 8),
    ]
    assert mixed.describe(4, 16) == "2 + 8 of 8 px"


def test_a_batch_of_none_makes_views_of_none():
    none = torch.arange(0)
    for views in all_views_of(store_of(2, 8), ViewPlan(named_policy("swav"), 2, 8, **RAW), none):
        assert views.shape[1] == 0


def test_a_person_is_shown_the_values_before_the_normalization():
    images = pictures(3, 16)
    plan = ViewPlan(policy(Cutout(side=(0.5, 0.5), fill="mean")), 2, 16, **NORMAL)
    (seen,) = show(store(images), plan, index=torch.arange(3), **WHERE)
    assert (seen.dtype, tuple(seen.shape)) == (torch.uint8, (2, 3, 16, 16, 3))
    raw = 255 * (
        views_of(store(images), plan) * torch.tensor(NORMAL["std"])[:, None, None]
        + torch.tensor(NORMAL["mean"])[:, None, None]
    )
    assert torch.equal(seen.permute(0, 1, 4, 2, 3), raw.round().to(torch.uint8))
    mean = (255 * torch.tensor(NORMAL["mean"])).round().to(torch.uint8)
    assert (seen == mean).all(-1).flatten(1).any(1).all()
    sizes = [
        tuple(group.shape)
        for group in show(
            store(images),
            ViewPlan(named_policy("patches"), 1, 16, **NORMAL),
            index=torch.arange(3),
            **WHERE,
        )
    ]
    assert sizes == [(9, 3, 4, 4, 3)]


def test_making_views_changes_nothing_that_is_stored():
    stored = store_of(4, 16)
    before = [tensor.clone() for tensor in (stored.images, stored.half, stored.size_px)]
    index = torch.arange(4)
    make_views(
        stored,
        ViewPlan(named_policy("rand_augment"), 2, 16, **RAW),
        index=index,
        draw=index,
        **WHERE,
    )
    for tensor, was in zip((stored.images, stored.half, stored.size_px), before, strict=True):
        assert torch.equal(tensor, was)


def test_rows_that_do_not_lie_side_by_side_in_memory_make_the_same_views():
    stored, plan = store_of(4, 16), ViewPlan(named_policy("simclr"), 2, 8, **RAW)
    apart = StoredImages(
        stored.images.repeat_interleave(2, 0)[::2],
        stored.half.transpose(1, 2).contiguous().transpose(1, 2),
        stored.size_px,
    )
    assert torch.equal(views_of(apart, plan), views_of(stored, plan))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"count": 0}, "views.count: want at least 1, got 0"),
        ({"size": 0}, "data.size: want at least 1 px, got 0"),
        ({"std": (1.0, 0.0, 1.0)}, "encoder.std: want more than 0"),
        (
            {"mean": (0.5, 1.1, 0.5)},
            r"encoder.mean: want values in \[0, 1\], got \(0.5, 1.1, 0.5\)",
        ),
        ({"mean": (-0.1, 0.5, 0.5)}, r"encoder.mean: want values in \[0, 1\]"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_by_name(wrong, text):
    with pytest.raises(ConfigError, match=text):
        ViewPlan(**{"policy": policy(), "count": 2, "size": 8, **NORMAL, **wrong})


def test_the_numbers_that_kernels_are_compiled_with_are_the_known_ones():
    """numba keeps compiled kernels and sees edits in their own file only. A number changed here or
    in program.py needs an edit of kernels/draw.py and kernels/cpu.py too, else old code goes on
    with the old number.
    """
    unread = ("TABLES", "SHRINK", "UNCHANGED")  # read by no kernel that numba compiles
    known = {
        name: value for name, value in vars(params).items() if name.isupper() and name not in unread
    }
    assert known == {
        "NONE": 0,
        "COLOR": 1,
        "POSTERIZE": 2,
        "SOLARIZE": 3,
        "SOLARIZE_ADD": 4,
        "EQUALIZE": 5,
        "AUTOCONTRAST": 6,
        "INVERT": 7,
        "SHARPNESS": 8,
        "BLUR": 9,
        "ERASE": 10,
        "NOISE": 11,
        "HALF": 0.5013,
        "WIDTH": 13,
        "GRAY": (0.299, 0.587, 0.114),
        "WITHIN": 1 + 1e-5,
    }
    codes = [
        value for name, value in vars(program).items() if name.isupper() and isinstance(value, int)
    ]
    assert codes == [*range(6), *range(9, 16), *range(20, 31), 40, 5]
