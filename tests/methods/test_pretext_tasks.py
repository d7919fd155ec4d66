"""What is the pretext tasks' own beside the contract of every method."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nearfar.core.errors import NothingToCompareError, UserError
from nearfar.core.types import Batch, DataFacts
from nearfar.losses import counting
from nearfar.methods import method_class
from nearfar.methods.relative_position import NEIGHBORS, pair_places
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder

SIDE, SAMPLES = 32, 24


class Watched(nn.Module):
    """A pooled color, and what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[torch.Tensor] = []

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.seen.append(rows.detach())
        return self.weight * F.adaptive_avg_pool2d(rows, 4).flatten(1)


def make(name: str, net: nn.Module | None = None, *, side: int = SIDE, **settings):
    torch.manual_seed(0)
    facts = DataFacts("toy", side, (), (), 0, n_unlabeled=99)
    kind = method_class(name)
    method = kind(
        Encoder(net or conv4(), example=torch.zeros(1, 3, side, side), architecture="small"),
        kind.Config(**settings),
        facts,
    ).double()
    if isinstance(net, Watched):
        net.seen.clear()
    return method


def make_batch(views: torch.Tensor, *, epoch: int = 0) -> Batch:
    index = torch.arange(views.shape[1])
    return Batch(
        (views,), torch.full_like(index, -1), index, torch.zeros_like(index), 0, epoch, 0.0
    )


def noise(views: int = 1, samples: int = SAMPLES, side: int = SIDE) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randn(views, samples, 3, side, side, generator=source, dtype=torch.float64)


def learn(method, batches, steps: int = 60, lr: float = 1e-3) -> list[dict[str, float]]:
    optimizer = torch.optim.Adam(method.parameters(), lr=lr)
    rows = []
    for step in range(steps):
        result = method(batches(step))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        method.after_step(result.remember, 0.0)
        rows.append(
            {
                "loss": float(result.loss.detach()),
                **{k: float(v.detach()) for k, v in result.logs.items()},
            }
        )
    return rows


@pytest.mark.parametrize("name", ["relative_position", "jigsaw", "counting"])
def test_tasks_are_drawn_anew_each_epoch_and_each_sample_by_its_number_alone(name):
    net = Watched()
    method = make(name, net)
    views = noise()
    for epoch in (0, 0, 1):
        method(make_batch(views, epoch=epoch))
    first, again, later = net.seen
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    net.seen.clear()
    batch = make_batch(views)
    few = slice(3, 9)
    method(Batch((views[:, few],), batch.labels[few], batch.index[few], batch.draw[few], 0, 0, 0.0))
    rows = first.view(-1, SAMPLES, *first.shape[1:])[:, few]
    assert torch.equal(net.seen[0], rows.flatten(0, 1))


@pytest.mark.parametrize("name", ["relative_position", "jigsaw", "counting"])
def test_an_encoder_that_cannot_take_the_tiles_is_refused_by_its_name(name):
    class OnlyWhole(nn.Module):
        def forward(self, rows):
            if rows.shape[-1] != SIDE:
                raise RuntimeError("no such side")
            return rows.flatten(1)

    with pytest.raises(
        UserError, match=r"encoder.name: want one for tiles of \d+ px of data.size=32"
    ):
        make(name, OnlyWhole())


# ---- relative position
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [32, 40, 96])
def test_pairs_lie_in_the_view_apart_and_on_the_side_that_their_label_says(size):
    labels = torch.arange(8).repeat(1, 200)
    u = torch.rand(1, 1600, 6, generator=torch.Generator().manual_seed(0))
    top, left = pair_places(labels, u, size)
    side = 3 * size // 8
    stray = round(7 / 96 * side)
    assert int(min(top.min(), left.min())) >= 0
    assert int(max(top.max(), left.max())) <= size - side
    for places, direction in ((top, 0), (left, 1)):
        step = places[..., 1] - places[..., 0]
        wanted = torch.tensor(NEIGHBORS)[labels][..., direction] * (side + side // 2)
        assert int((step - wanted).abs().max()) <= 2 * stray
        assert len((step - wanted).unique()) > 1  # they stray
    gap = (
        torch.maximum((top[..., 1] - top[..., 0]).abs(), (left[..., 1] - left[..., 0]).abs()) - side
    )
    assert int(gap.min()) > 0  # no edge goes on from patch to patch


def test_only_the_pair_is_encoded():
    net = Watched()
    method = make("relative_position", net)
    result = method(make_batch(noise(views=4)))
    (rows,) = net.seen
    assert rows.shape == (2 * 4 * SAMPLES, 3, 12, 12)
    assert result.representation.shape == (8, SAMPLES, 48)
    assert float(result.logs["chance"]) == pytest.approx(math.log(8))


def test_one_channel_is_kept_where_so_asked():
    net = Watched()
    make("relative_position", net, color="drop")(make_batch(noise()))
    (rows,) = net.seen
    alive = rows.flatten(2).abs().sum(dim=2) > 0
    assert bool((alive.sum(dim=1) == 1).all())
    assert bool(alive.any(dim=0).all())


def test_relative_position_is_told_from_a_ramp_and_not_from_noise():
    """A saddle and a ramp differ from place to place in their slopes, whatever mean and deviation a
    patch has.
    """
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE, dtype=torch.float64)] * 2, indexing="ij")
    bowl = torch.stack([x**2 + y, y**2 - x, x * y])
    views = bowl + 0.02 * noise(views=2)
    learnt = learn(make("relative_position"), lambda step: make_batch(views, epoch=step), steps=60)
    assert learnt[-1]["accuracy"] > 0.6
    source = torch.Generator().manual_seed(5)

    def fresh(step):
        return make_batch(
            torch.randn(2, SAMPLES, 3, SIDE, SIDE, generator=source, dtype=torch.float64),
            epoch=step,
        )

    blind = learn(make("relative_position"), fresh, steps=40)
    assert sum(row["accuracy"] for row in blind[20:]) / 20 < 0.2


# ---- jigsaw
# --------------------------------------------------------------------------------------------------


def painted(grid: int) -> torch.Tensor:
    """Each cell has its own slope, which standardizing leaves."""
    cell = SIDE // grid
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, cell, dtype=torch.float64)] * 2, indexing="ij")
    view = torch.zeros(3, SIDE, SIDE, dtype=torch.float64)
    for at in range(grid**2):
        angle = torch.tensor(2 * math.pi * at / grid**2)
        row, column = at // grid * cell, at % grid * cell
        view[:, row : row + cell, column : column + cell] = angle.cos() * x + angle.sin() * y
    return view.expand(1, SAMPLES, 3, SIDE, SIDE)


def slopes(rows: torch.Tensor) -> torch.Tensor:
    """The direction in which a tile grows brighter, of (..., C, s, s)."""
    gray = rows.mean(dim=-3)
    return torch.atan2(
        (gray[..., -1, :] - gray[..., 0, :]).mean(-1), (gray[..., :, -1] - gray[..., :, 0]).mean(-1)
    )


@pytest.mark.parametrize(("grid", "orders"), [(2, 24), (3, 100)])
def test_each_tile_is_of_its_cell_and_the_head_meets_them_in_the_order_of_the_label(grid, orders):
    net = Watched()
    method = make("jigsaw", net, grid=grid)
    assert method.orders.shape == (orders, grid**2)
    seen = []
    method.order.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    result = method(make_batch(painted(grid)))
    (rows,) = net.seen
    tiles = rows.view(grid**2, SAMPLES, *rows.shape[1:])
    angles = 2 * math.pi * torch.arange(grid**2, dtype=torch.float64) / grid**2
    assert torch.allclose(
        torch.cos(slopes(tiles) - angles[:, None]), torch.ones(()).double(), atol=0.02
    )
    shown = seen[0].view(SAMPLES, grid**2, -1)
    known = method.encoder(rows).view(grid**2, SAMPLES, -1)
    found = []
    for sample in range(SAMPLES):
        order = [
            int((known[:, sample] - feature).abs().sum(-1).argmin()) for feature in shown[sample]
        ]
        assert order in method.orders.tolist()
        found.append(method.orders.tolist().index(order))
    assert len(set(found)) > orders // 4 // 2
    scores = method.order(seen[0])[0]
    loss = F.cross_entropy(scores, torch.tensor(found))
    assert float(result.loss.detach()) == pytest.approx(float(loss.detach()))


def test_below_64_px_a_puzzle_has_four_tiles_and_from_there_nine():
    assert make("jigsaw", Watched()).grid == 2
    assert make("jigsaw", Watched(), side=64).grid == 3
    assert len(make("jigsaw", Watched(), side=64).orders) == 100
    assert make("jigsaw", Watched(), side=64, grid=2).grid == 2


def test_gray_puzzles_are_gray_as_a_whole_and_as_often_as_asked():
    shares = []
    for asked in (0.0, 0.3, 1.0):
        net = Watched()
        make("jigsaw", net, gray=asked)(make_batch(noise(views=20)))
        rows = net.seen[0].view(4, 20 * SAMPLES, 3, 12, 12)
        gray = (rows[:, :, 0] - rows[:, :, 1]).flatten(2).abs().amax(dim=2) < 1e-9
        assert bool((gray == gray[0]).all())
        shares.append(float(gray.double().mean()))
    assert shares == pytest.approx([0, 0.3, 1], abs=0.08)
    assert (shares[0], shares[2]) == (0, 1)


def test_channels_are_cut_apart_where_tiles_are_large_enough_for_a_pixel():
    """Of gray puzzles, so that channels are equal but for their place; up to 1 px of 24."""
    net = Watched()
    make("jigsaw", net, side=96, gray=1.0)(make_batch(noise(side=96, samples=8)))
    rows = net.seen[0]
    one, other = rows[:, 0], rows[:, 1]
    together = (one - other).flatten(1).abs().amax(dim=1) < 1e-9
    assert 0.2 < float(together.double().mean()) < 0.8
    here, there = one[~together], other[~together]
    near = [(here[:, 1:, 1:], there[:, :-1, :-1]), (here[:, :-1, :-1], there[:, 1:, 1:])]
    agree = torch.stack([F.cosine_similarity(a.flatten(1), b.flatten(1)) for a, b in near])
    assert float(agree.amax(dim=0).min()) > 0.98


# ---- counting
# ------------------------------------------------------------------------------------------------


def test_the_whole_at_half_size_and_its_quarters_are_counted():
    net = Watched()
    method = make("counting", net, gray=0.0)
    views = noise(views=2)
    result = method(make_batch(views))
    rows = net.seen[0].view(5, 2, SAMPLES, 3, 16, 16)
    assert torch.equal(rows[1], views[..., :16, :16])
    assert torch.equal(rows[2], views[..., :16, 16:])
    assert torch.equal(rows[3], views[..., 16:, :16])
    assert torch.equal(rows[4], views[..., 16:, 16:])
    means = F.avg_pool2d(views.flatten(0, 1), 2).view_as(rows[0])
    apart = (rows[0] - means).square().flatten(2).mean(dim=2)
    # nearest takes one pixel of four: variance 3/4 beside their mean
    assert bool((apart < 1.1).all())
    assert len((apart > 1e-12).to(torch.int64).unique()) == 2  # by area in some, not in others
    counts = (method.unit * method.counts(method.encoder(net.seen[0])).relu()).view(
        5, 2, SAMPLES, -1
    )
    assert float(result.loss.detach()) == pytest.approx(
        float(counting(counts[0], counts[1:]).detach())
    )


def test_two_thirds_are_gray_with_their_quarters():
    net = Watched()
    make("counting", net)(make_batch(noise(views=20)))
    rows = net.seen[0].view(5, 20 * SAMPLES, 3, 16, 16)
    gray = (rows[..., 0, :, :] - rows[..., 1, :, :]).flatten(2).abs().amax(dim=2) < 1e-9
    assert bool((gray == gray[0]).all())
    assert float(gray[0].double().mean()) == pytest.approx(0.67, abs=0.08)


def test_a_single_image_has_no_other():
    with pytest.raises(NothingToCompareError, match="want at least two images, got one"):
        make("counting")(make_batch(noise(samples=1)))


# ---- colorization
# --------------------------------------------------------------------------------------------


def test_the_encoder_sees_lightness_alone_and_colors_it_cannot_see_do_not_matter():
    seen = []
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[0].register_forward_pre_hook(lambda _module, args: seen.append(args[0].detach()))
    method = make("colorization", net)
    seen.clear()
    method(make_batch(noise() / 3))
    (rows,) = seen
    assert torch.equal(rows[:, 0], rows[:, 1])
    assert torch.equal(rows[:, 0], rows[:, 2])
    # L / 100 in [0, 1], normalized by .5, .5
    assert -1 - 1e-9 <= float(rows.min()) < float(rows.max()) <= 1 + 1e-9


def test_a_gray_batch_costs_nothing_moves_nothing_and_stays_finite():
    method = make("colorization")
    views = noise()[:, :, :1].expand(1, SAMPLES, 3, SIDE, SIDE)
    before = method.frequency.clone()
    result = method(make_batch(views))
    result.loss.backward()
    method.after_step(result.remember, 0.0)
    assert (
        float(result.loss.detach())
        == float(result.logs["chance"])
        == float(result.logs["colored"])
        == 0
    )
    assert all(bool((p.grad == 0).all()) for p in method.parameters() if p.grad is not None)
    assert torch.equal(method.frequency, before)


def test_data_without_any_color_are_refused():
    facts = DataFacts("scans", 8, ("a", "b"), (9, 9), 18, colored=False)
    kind = method_class("colorization")
    assert kind.why_not(facts) == "needs images with colors, and all of scans are gray"
    assert kind.why_not(replace(facts, colored=True)) is None


def test_gray_images_do_not_count_beside_colored_ones():
    method = make(
        "colorization", nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    )
    half = noise()
    half[:, ::2] = half[:, ::2, :1]
    mixed, alone = method(make_batch(half)), method(make_batch(half[:, 1::2]))
    assert float(mixed.loss.detach()) == pytest.approx(float(alone.loss.detach()))
    assert float(mixed.logs["colored"]) == 0.5
    assert torch.allclose(mixed.remember["seen"], alone.remember["seen"])


def test_the_frequencies_move_to_those_of_the_data_and_stay_shares():
    method = make("colorization", momentum=0.5)
    red = torch.tensor([0.9, -0.8, -0.8], dtype=torch.float64)[:, None, None].expand(
        1, SAMPLES, 3, SIDE, SIDE
    )
    for _ in range(20):
        result = method(make_batch(red))
        method.after_step(result.remember, 0.0)
    assert float(method.frequency.sum()) == pytest.approx(1)
    assert int((method.frequency > 1e-4).sum()) == 10  # the soft code of one color
    assert float(result.logs["chance"]) < math.log(313)  # a color that is so common weighs little


def test_colors_are_learnt_from_the_lightness():
    """Dark images are blue and bright ones yellow."""
    bright = (torch.arange(SAMPLES) % 2).double()[:, None, None]
    views = (
        torch.stack([2 * bright - 1, 2 * bright - 1, 0 * bright], dim=1) * 0.8 + 0.05 * noise()[0]
    )
    learnt = learn(make("colorization"), lambda _step: make_batch(views[None]), steps=40, lr=5e-3)
    assert learnt[-1]["accuracy"] > 0.8
    assert learnt[-1]["loss"] < 0.5 * learnt[0]["loss"]


def test_a_network_without_a_feature_map_is_refused_by_its_name():
    with pytest.raises(UserError, match=r"encoder.name: colorization wants one with a feature map"):
        make("colorization", Watched())
