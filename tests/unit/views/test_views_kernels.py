"""The compiled kernels against plain torch: to 1/100 of a gray level, where the issue asks for one.

Operations that jump (solarize, posterize, equalize, autocontrast) turn a last bit of difference
into a whole gray level or more. There 99.9 % of the values have to agree, and the mean difference
stays below 0.05 of 255.
"""

import numpy as np
import pytest
import torch
from views_pictures import (
    EACH,
    JUMPS,
    NORMAL,
    RAW,
    all_views_of,
    pictures,
    policy,
    store,
    store_of,
    views_of,
)

from nearfar.views.kernels import SHRINK, levels, render
from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.making import ViewPlan, draw_params
from nearfar.views.operations import (
    AddBrightness,
    Autocontrast,
    Blur,
    Brightness,
    Contrast,
    Crop,
    Cutout,
    Equalize,
    Erase,
    Invert,
    Jitter,
    Noise,
    OneOf,
    Posterize,
    Rotate,
    Saturation,
    Scale,
    Sharpness,
    Shear,
    Solarize,
    SolarizeAdd,
    Translate,
)
from nearfar.views.params import WIDTH, ViewParams
from nearfar.views.policies import POLICIES, named_policy

CLOSE = 0.01  # gray levels; torch's grid is in float32
# policies that hold some
POINTWISE_JUMPS = ("auto_augment", "rand_augment", "stacked_rand_augment", "byol")
GEOMETRY = ("flip", "rotate", "shear", "translate", "scale")
TABLES = (
    Posterize(bits=(2, 6)),
    Solarize(threshold=(60, 200)),
    SolarizeAdd(amount=(20, 90)),
    Equalize(),
    Autocontrast(),
    Invert(),
)


def differences(wanted: Policy, side: int, size: int, n: int = 12, count: int = 2) -> torch.Tensor:
    """All of them, in gray levels."""
    stored, plan = store_of(n, side), ViewPlan(wanted, count, size, **RAW)
    both = (all_views_of(stored, plan, backend=backend) for backend in ("cpu", "reference"))
    return torch.cat([255 * (a - b).abs().flatten() for a, b in zip(*both, strict=True)])


def assert_close(found: torch.Tensor, *, jumps: bool) -> None:
    if jumps:
        assert (found <= CLOSE).float().mean() > 0.999
        assert found.mean() < 0.05
    else:
        assert found.max() <= CLOSE


@pytest.mark.parametrize("name", [*sorted(POLICIES), "rand_augment(3, 5)"])
@pytest.mark.parametrize(("side", "size"), [(32, 32), (64, 32), (15, 9), (224, 32)])
def test_every_policy_is_rendered_alike(name, side, size):
    jumps = any(name.startswith(start) for start in POINTWISE_JUMPS)
    # one view may jump
    assert_close(differences(named_policy(name), side, size, n=100 if jumps else 12), jumps=jumps)


@pytest.mark.parametrize("name", ["simclr", "swav", "rand_augment", "cassava"])
def test_large_views_are_rendered_alike(name):
    assert_close(differences(named_policy(name), 256, 224, n=4), jumps=name == "rand_augment")


@pytest.mark.parametrize("name", sorted(EACH))
@pytest.mark.parametrize(("side", "size"), [(24, 24), (48, 24), (13, 11)])
def test_each_operation_is_rendered_alike(name, side, size):
    for outside in ("edge", "black", "gray") if name.split()[0] in GEOMETRY else ("edge",):
        assert_close(
            differences(policy(EACH[name], outside=outside), side, size), jumps=name in JUMPS
        )


@pytest.mark.parametrize("name", sorted(EACH))
def test_the_smallest_views_are_rendered_alike(name):
    for side, size in ((1, 1), (1, 5), (2, 2), (3, 2), (2, 3), (5, 1), (9, 4)):
        assert_close(differences(policy(EACH[name]), side, size, n=4), jumps=name in JUMPS)


@pytest.mark.parametrize("outside", ["edge", "black", "gray"])
def test_all_at_once_is_rendered_alike(outside):
    continuous = [each for name, each in EACH.items() if name not in (*JUMPS, "crop")]
    found = differences(policy(Crop(), *continuous, outside=outside), 40, 28, n=40)
    assert found.max() <= CLOSE
    every = tuple((each,) for name, each in EACH.items() if name != "crop")
    found = differences(policy(Crop(), OneOf(times=4, among=every), outside=outside), 40, 28, n=100)
    assert (found <= CLOSE).float().mean() > 0.999


def test_neighboring_tables_are_one_table_with_the_same_outcome():
    """Whole values in, so nothing rounds differently: exact."""
    for first in TABLES:
        for second in TABLES:
            found = differences(policy(first, second, TABLES[0], Invert()), 16, 16, n=8, count=1)
            square = store(pictures(8, 16))
            plan = ViewPlan(policy(first, second, TABLES[0], Invert()), 1, 16, **RAW)
            assert (
                views_of(square, plan) - views_of(square, plan, backend="reference")
            ).abs().max() < 1e-6
            assert (found <= CLOSE).float().mean() > 0.99


def test_flat_pictures_survive_every_operation_alike():
    """One value a channel: no histogram to stretch, nothing to blur."""
    flat = store(
        torch.tensor([0, 7, 255], dtype=torch.uint8)
        .view(1, 3, 1, 1)
        .expand(4, 3, 12, 12)
        .contiguous()
    )
    for name, each in EACH.items():
        plan = ViewPlan(policy(each), 2, 12, **RAW)
        ours, plain = (views_of(flat, plan, backend=backend) for backend in ("cpu", "reference"))
        assert (255 * (ours - plain)).abs().max() <= CLOSE, name
        if name in ("equalize", "autocontrast", "blur", "sharpness", "crop"):
            assert torch.allclose(
                ours[0, 0, :, 5, 5], torch.tensor([0.0, 7.0, 255.0]) / 255, atol=1e-5
            ), name


def test_every_level_of_a_large_store_is_read_and_rendered_alike():
    stored = store(pictures(1, 512).expand(40, -1, -1, -1))
    near, all_ = (
        Kind(operations=(Crop(area=area, aspect=(1, 1)),)) for area in ((0.002, 0.02), (0.002, 1))
    )
    plan = ViewPlan(Policy(kinds=(near, all_)), 2, 32, **RAW)
    params = draw_params(
        plan.groups[0],
        stored.size_px,
        mean=plan.mean,
        seed=1,
        epoch=2,
        index=torch.arange(40),
        draw=torch.zeros(40, dtype=torch.int64),
    )
    read = levels(params.warp, side=512, size=32)
    assert set(read.flatten().tolist()) == {0, 1, 2, 3, 4}
    found = 255 * (views_of(stored, plan) - views_of(stored, plan, backend="reference")).abs()
    assert found.max() <= CLOSE


def test_levels_go_on_by_halves():
    shares = np.array(
        [0.1, SHRINK / 8 * 0.99, SHRINK / 8 * 1.01, SHRINK / 4 * 1.01, SHRINK / 2 * 1.01],
        np.float32,
    )
    warp = np.zeros((1, 5, 2, 3), np.float32)
    warp[0, :, 0, 0], warp[0, :, 1, 1] = shares, shares
    assert levels(warp, side=64, size=8)[0].tolist() == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", ["simclr", "swav", "patches", "rand_augment"])
def test_both_memory_orders_hold_the_same_bits(name, backend):
    stored = store_of(5, 24)
    last, first = (
        all_views_of(
            stored,
            ViewPlan(named_policy(name), 2, 24, **NORMAL, channels_last=last),
            backend=backend,
        )
        for last in (True, False)
    )
    for a, b in zip(last, first, strict=True):
        assert torch.equal(a, b)
        assert b.is_contiguous()
        assert a.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_each_view_is_warped_and_colored_by_its_own_numbers():
    stored = store(pictures(3, 16))
    random = np.random.default_rng(0)
    warp = random.normal(0, 0.7, (2, 3, 2, 3)).astype(np.float32)
    stage = np.ones((2, 3, 1), np.uint8)
    amount = np.zeros((2, 3, 1, WIDTH), np.float32)
    amount[..., 0, :12] = random.uniform(0, 0.3, (2, 3, 12))
    amount[..., 0, 12] = random.uniform(-40, 40, (2, 3))
    outside = np.array([-1, 90], np.float32)
    for backend in ("cpu", "reference"):
        whole = render(
            stored, ViewParams(warp, stage, amount, outside), size=8, **RAW, backend=backend
        )
        for v in range(2):
            for b in range(3):
                part = (slice(v, v + 1), slice(b, b + 1))
                one = store(pictures(3, 16)[b : b + 1])
                params = ViewParams(warp[part], stage[part], amount[part], outside[v : v + 1])
                assert torch.equal(
                    whole[v, b], render(one, params, size=8, **RAW, backend=backend)[0, 0]
                )


def test_a_far_warp_sees_only_what_lies_outside():
    stored = store(pictures(2, 8) // 2 + 50)
    far = policy(
        Translate(axis="x", fraction=(2, 2)), Scale(factor=(1 / 16, 1 / 16)), outside="gray"
    )
    for wanted, value in (
        (far, 128 / 255),
        (
            far.model_copy(
                update={"kinds": (far.kinds[0].model_copy(update={"outside": "black"}),)}
            ),
            0.0,
        ),
    ):
        for backend in ("cpu", "reference"):
            view = views_of(stored, ViewPlan(wanted, 1, 8, **RAW), backend=backend)
            assert float((view[..., :4] - value).abs().max()) < 1e-6


@pytest.mark.parametrize("outside", ["edge", "gray"])
def test_shrinking_without_end_reads_no_memory_that_is_not_there(outside):
    endless = [
        Scale(factor=(1 / 16, 1 / 16)),
        Shear(axis="x", slope=(2, 2)),
        Shear(axis="y", slope=(2, 2)),
    ] * 150
    stored, plan = store(pictures(3, 32)), ViewPlan(policy(*endless, outside=outside), 2, 16, **RAW)
    for backend in ("cpu", "reference"):
        views = views_of(stored, plan, backend=backend)
        assert views.isfinite().all()
        assert views.min() >= 0
        assert views.max() <= 1


def test_color_without_end_stays_finite():
    """16 to the power of 40 is beyond float32; tables would be read far outside by what is no
    number.
    """
    for each in (
        Brightness(factor=(16, 16)),
        AddBrightness(amount=1),
        Contrast(factor=(16, 16)),
        Saturation(factor=(16, 16)),
        Jitter(brightness=4, contrast=4, saturation=4, hue=0.5),
    ):
        group = ViewPlan(policy(*[each] * 40), 2, 8, **RAW).groups[0]
        rows = torch.arange(3)
        params = draw_params(
            group,
            torch.full((3, 2), 8),
            mean=(0, 0, 0),
            seed=0,
            epoch=0,
            index=rows,
            draw=torch.zeros_like(rows),
        )
        # not inf: the next line would then crash, not fail
        assert np.abs(params.amount).max() < 1e10
        stored, plan = (
            store(pictures(3, 8)),
            ViewPlan(policy(*[each] * 40, Posterize(bits=(4, 4))), 2, 8, **RAW),
        )
        for backend in ("cpu", "reference"):
            views = views_of(stored, plan, backend=backend)
            assert views.isfinite().all()
            assert 0 <= views.min() <= views.max() <= 1


def test_noise_is_normal_independent_and_of_the_size_that_was_asked_for():
    stored = store(torch.full((20, 3, 32, 32), 128, dtype=torch.uint8))
    views = views_of(stored, ViewPlan(policy(Noise(sigma=(0.1, 0.1))), 2, 32, **RAW)) - 128 / 255
    assert views.mean().abs() < 1e-3
    assert views.std() == pytest.approx(0.1, rel=0.01)
    assert (views.abs() < 0.1).float().mean() == pytest.approx(0.6827, abs=0.005)
    flat = views.flatten(2)
    for a, b in (
        (flat[0], flat[1]),
        (flat[:, :-1], flat[:, 1:]),
        (views[..., :-1], views[..., 1:]),
        (views[:, :, 0], views[:, :, 1]),
        (views[..., :-1, :], views[..., 1:, :]),
    ):
        assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].abs() < 0.02


def test_each_tile_of_a_view_has_noise_of_its_own():
    stored = store(torch.full((8, 3, 32, 32), 128, dtype=torch.uint8))
    tiled = policy(Noise(sigma=(0.1, 0.1)), Noise(sigma=(0.1, 0.1)), tiles=Tiles(grid=2))
    views = views_of(stored, ViewPlan(tiled, 1, 32, **RAW)) - 128 / 255
    assert views.std() == pytest.approx(0.1 * 2**0.5, rel=0.02)
    assert (torch.corrcoef(views.flatten(1)) - torch.eye(4)).abs().max() < 0.06


@pytest.mark.parametrize("fill", ["mean", "black", "gray"])
@pytest.mark.parametrize("kind", [Cutout, Erase])
def test_what_is_painted_over_has_the_color_that_was_asked_for(kind, fill):
    value = {
        "mean": torch.zeros(3),
        "black": -torch.tensor(NORMAL["mean"]) / torch.tensor(NORMAL["std"]),
        "gray": (128 / 255 - torch.tensor(NORMAL["mean"])) / torch.tensor(NORMAL["std"]),
    }[fill]
    operation = (
        Cutout(side=(0.5, 0.5), fill=fill)
        if kind is Cutout
        else Erase(area=(0.25, 0.25), fill=fill)
    )
    stored = store(pictures(10, 16) // 4)  # no pixel as light as any of these
    plain = views_of(stored, ViewPlan(policy(), 1, 16, **NORMAL))[0]
    views = views_of(stored, ViewPlan(policy(operation), 1, 16, **NORMAL))[0]
    painted = (views != plain).any(1)
    assert 0.02 < painted.float().mean() < 0.3
    found = views.permute(0, 2, 3, 1)[painted]
    assert torch.allclose(found, value.expand_as(found), atol=1e-5)


def test_a_blur_of_no_width_and_a_sharpness_of_one_change_nothing():
    stored = store(pictures(3, 16))
    plain = views_of(stored, ViewPlan(policy(), 1, 16, **RAW))
    for operation in (
        Blur(sigma_px=(0, 0)),
        Blur(sigma_px=(0, 0), kernel=0.5),
        Sharpness(factor=(1, 1)),
        Contrast(factor=(1, 1)),
        Saturation(factor=(1, 1)),
        Rotate(degrees=(0, 0)),
    ):
        for backend in ("cpu", "reference"):
            view = views_of(stored, ViewPlan(policy(operation), 1, 16, **RAW), backend=backend)
            assert (view - plain).abs().max() < 1e-5, operation


def test_random_params_never_leave_the_store_nor_the_range():
    """Extreme but legal: all factors at their bounds, deep shrinking and enlarging, tiny and large
    views.
    """
    extremes = (
        Crop(area=(1e-4, 1), aspect=(1 / 16, 16)),
        Scale(factor=(1 / 16, 16)),
        Rotate(degrees=(-360, 360)),
        Translate(axis="y", fraction=(-2, 2)),
        Saturation(factor=(0, 16)),
        Contrast(factor=(0, 16)),
        Sharpness(factor=(0, 16)),
        Blur(sigma_px=(0, 16)),
        Noise(sigma=(0, 1)),
        Equalize(),
        Posterize(bits=(1, 8)),
        SolarizeAdd(amount=(0, 256), threshold=256),
        Cutout(side=(1e-3, 1)),
        Erase(area=(1e-6, 1), aspect=(1 / 16, 16)),
        Autocontrast(),
    )
    for outside in ("edge", "gray"):
        for side, size in ((1, 7), (64, 3), (7, 40)):
            views = views_of(
                store_of(60, side), ViewPlan(policy(*extremes, outside=outside), 2, size, **RAW)
            )
            assert views.isfinite().all()
            assert views.min() >= 0
            assert views.max() <= 1 + 1e-6
