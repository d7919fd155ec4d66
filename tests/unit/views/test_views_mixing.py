import pytest
import torch

from nearfar.views.mixing import NUMBERS, mix


def some_views(*, views: int = 2, batch: int = 6, side: int = 8) -> torch.Tensor:
    return torch.randn(
        views, batch, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def some_numbers(*, views: int = 2, batch: int = 6) -> torch.Tensor:
    return torch.rand(NUMBERS, views, batch, generator=torch.Generator().manual_seed(1))


def test_mixup_is_the_weighted_mean_of_two_neighbors():
    views = some_views()
    mixed = mix(views, some_numbers(), mixup=0.4, cutmix=0.0)
    assert mixed.partner.tolist() == [1, 0, 3, 2, 5, 4]
    share = mixed.share[..., None, None, None]
    assert torch.allclose(mixed.views, share * views + (1 - share) * views[:, [1, 0, 3, 2, 5, 4]])
    assert bool(((mixed.share > 0) & (mixed.share < 1)).all())
    assert len(mixed.share.unique()) == mixed.share.numel()


def test_cutmix_pastes_a_rectangle_and_its_share_is_counted():
    views = some_views(side=16)
    mixed = mix(views, some_numbers(), mixup=0.0, cutmix=1.0)
    own = (mixed.views == views).all(dim=2)  # (V, B, H, W)
    other = (mixed.views == views[:, mixed.partner]).all(dim=2)
    assert bool((own ^ other).all())
    assert torch.allclose(own.double().mean(dim=(-2, -1)), mixed.share)
    for pasted in other.flatten(0, 1):
        rows, columns = pasted.any(dim=1), pasted.any(dim=0)
        assert torch.equal(pasted, rows[:, None] & columns)  # a rectangle
        assert (
            int(rows.sum()) == int(rows.nonzero().max() - rows.nonzero().min() + 1)
            if bool(pasted.any())
            else True
        )


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_share_is_drawn_from_the_beta_distribution(alpha):
    numbers = some_numbers(views=1, batch=40_000)
    share = mix(some_views(views=1, batch=40_000, side=1), numbers, mixup=alpha, cutmix=0.0).share
    assert float(share.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(share.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)


def test_clipped_rectangles_leave_seventy_percent_at_32_px():
    """Known of the authors' code: the share is .5 before clipping, .70 after."""
    numbers = some_numbers(views=1, batch=20_000)
    views = torch.zeros(1, 20_000, 1, 32, 32)
    assert float(mix(views, numbers, mixup=0.0, cutmix=1.0).share.mean()) == pytest.approx(
        0.70, abs=0.01
    )


def test_both_are_equally_likely_and_probability_leaves_views_alone():
    views, numbers = some_views(batch=2_000, side=4), some_numbers(batch=2_000)
    mixed = mix(views, numbers, mixup=1.0, cutmix=1.0, probability=0.5)
    alone = (mixed.views == views).flatten(2).all(dim=2) & (mixed.share == 1)
    pixels = (mixed.views == views) | (mixed.views == views[:, mixed.partner])
    cut = pixels.flatten(2).all(dim=2)
    assert float((alone & (numbers[0] >= 0.5)).double().mean()) == pytest.approx(0.5, abs=0.03)
    # small rectangles may be empty
    assert float((cut & ~alone).double().mean()) < float((~cut).double().mean())
    assert float((~cut).double().mean()) == pytest.approx(0.25, abs=0.03)


def test_the_last_of_an_odd_batch_stays_as_it_is():
    views = some_views(batch=5)
    mixed = mix(views, some_numbers(batch=5), mixup=1.0, cutmix=0.0)
    assert torch.equal(mixed.views[:, 4], views[:, 4])
    assert mixed.share[:, 4].tolist() == [1, 1]
    assert not torch.equal(mixed.views[:, 3], views[:, 3])
