"""The losses with a margin on distances against slow float64 transcriptions of their equations, and
their laws.
"""

import inspect
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nearfar import losses
from nearfar.losses import margin, margin_contrastive, triplet

MININGS = st.sampled_from(["all", "semi_hard", "hard"])


def unit_rows_and_classes(z, labels):
    rows, classes = [], []
    for view in z.tolist():
        for b, row in enumerate(view):
            length = math.hypot(*row) or 1.0
            rows.append([x / length for x in row])
            classes.append(int(labels[b]) if labels[b] >= 0 else -1 - b)
    return rows, classes


def squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def transcription_of_margin_contrastive(z, labels, margin):
    """Hadsell 2006: the mean over pairs i < j of D²/2 within a class, max(0, margin - D)²/2 between
    classes.
    """
    rows, y = unit_rows_and_classes(z, labels)
    terms = []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            distance = math.sqrt(squared_distance(rows[i], rows[j]))
            terms.append(distance**2 / 2 if y[i] == y[j] else max(0.0, margin - distance) ** 2 / 2)
    return sum(terms) / len(terms)


def costs_of_anchors(z, labels, margin, mining, squared):
    """The costs of the mined triplets, a list for each anchor that has a positive and a
    negative.
    """
    rows, y = unit_rows_and_classes(z, labels)
    costs = []
    for a in range(len(rows)):
        d = [squared_distance(rows[a], row) for row in rows]
        d = d if squared else [math.sqrt(x) for x in d]
        positives = [d[p] for p in range(len(rows)) if p != a and y[p] == y[a]]
        negatives = [d[n] for n in range(len(rows)) if y[n] != y[a]]
        if not positives or not negatives:
            continue
        if mining == "all":
            pairs = [(p, n) for p in positives for n in negatives]
        elif mining == "semi_hard":
            pairs = [
                (p, min((n for n in negatives if n > p), default=max(negatives))) for p in positives
            ]
        else:
            pairs = [(max(positives), min(negatives))]
        soft = margin is None
        costs.append(
            [math.log1p(math.exp(p - n)) if soft else max(0.0, p - n + margin) for p, n in pairs]
        )
    return costs


def transcription_of_triplet(z, labels, margin, mining, squared):
    costs = [
        cost for costs in costs_of_anchors(z, labels, margin, mining, squared) for cost in costs
    ]
    return sum(costs) / len(costs)


@st.composite
def batches(draw):
    shape = draw(st.integers(1, 3)), draw(st.integers(2, 7)), draw(st.integers(2, 5))
    seed = draw(st.integers(0, 2**31))
    labels = draw(st.lists(st.integers(-1, 2), min_size=shape[1], max_size=shape[1]))
    z = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return z, torch.tensor(labels)


def has_a_triplet(z, labels):
    return bool(costs_of_anchors(z, labels, 0.2, "hard", True))


@settings(deadline=None, max_examples=60)
@given(batches(), st.floats(0.1, 2.5))
def test_margin_contrastive_is_the_loss_of_hadsell(batch, margin):
    z, labels = batch
    expected = transcription_of_margin_contrastive(z, labels, margin)
    assert float(margin_contrastive(z, labels, margin=margin)) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


@settings(deadline=None, max_examples=60)
@given(batches(), st.one_of(st.none(), st.floats(0, 2)), MININGS, st.booleans())
def test_triplet_is_the_mean_over_the_mined_triplets(batch, margin, mining, squared):
    z, labels = batch
    assume(not (margin is None and mining == "all"))
    options = {"margin": margin, "mining": mining, "squared": squared}
    if not has_a_triplet(z, labels):
        with pytest.raises(ValueError, match="triplet"):
            triplet(z, labels, **options)
        return
    expected = transcription_of_triplet(z, labels, **options)
    assert float(triplet(z, labels, **options)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(batches(), MININGS)
def test_a_row_of_zeros_lies_in_the_middle_of_the_sphere(batch, mining):
    z, labels = batch
    z[0, 0] = 0
    expected = transcription_of_margin_contrastive(z, labels, 1.5)
    assert float(margin_contrastive(z, labels, margin=1.5)) == pytest.approx(expected, rel=1e-9)
    assume(has_a_triplet(z, labels))
    expected = transcription_of_triplet(z, labels, 0.5, mining, True)
    assert float(triplet(z, labels, margin=0.5, mining=mining)) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


@settings(deadline=None, max_examples=30)
@given(batches(), st.floats(0, 1), st.booleans())
def test_for_each_anchor_the_hard_triplet_costs_at_least_the_mean_of_all(batch, margin, squared):
    z, labels = batch
    assume(has_a_triplet(z, labels))
    every = costs_of_anchors(z, labels, margin, "all", squared)
    hard = triplet(z, labels, margin=margin, mining="hard", squared=squared)
    assert float(hard) >= sum(sum(costs) / len(costs) for costs in every) / len(every) - 1e-9


@pytest.mark.parametrize("squared", [True, False])
def test_equal_rows_cost_the_margin_or_softly_log_2(squared):
    z, labels = torch.ones(2, 4, 3, dtype=torch.float64), torch.tensor([0, 0, 1, -1])
    for mining in ("all", "semi_hard", "hard"):
        assert float(
            triplet(z, labels, margin=0.3, mining=mining, squared=squared)
        ) == pytest.approx(0.3, abs=1e-7)
    for mining in ("semi_hard", "hard"):
        soft = float(triplet(z, labels, margin=None, mining=mining, squared=squared))
        assert soft == pytest.approx(math.log(2), abs=1e-7)


def test_classes_on_opposite_poles_cost_nothing_and_the_same_poles_swapped_the_most():
    poles = torch.tensor([[[1.0, 0], [-1, 0]], [[1, 0], [-1, 0]]], dtype=torch.float64)
    mixed = torch.tensor([[[1.0, 0], [1, 0]], [[-1, 0], [-1, 0]]], dtype=torch.float64)
    labels = torch.tensor([0, 1])
    assert float(triplet(poles, labels, margin=0.2)) == 0
    assert float(margin_contrastive(poles, labels, margin=1.0)) == 0
    assert float(triplet(mixed, labels, margin=0.2, mining="hard")) == pytest.approx(4.2)
    # 6 pairs: 2 of one class at D = 2 cost 2, 2 of two classes at D = 0 cost margin²/2, 2 at D = 2
    # cost 0
    assert float(margin_contrastive(mixed, labels, margin=1.0)) == pytest.approx(
        (2 * 2 + 2 * 0.5) / 6
    )


@settings(deadline=None, max_examples=30)
@given(batches(), MININGS, st.integers(0, 2**31))
def test_rotation_scale_and_order_of_samples_and_views_change_nothing(batch, mining, seed):
    z, labels = batch
    assume(has_a_triplet(z, labels))
    source = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(
        torch.randn(z.shape[2], z.shape[2], generator=source, dtype=torch.float64)
    )
    samples, views = (
        torch.randperm(len(labels), generator=source),
        torch.randperm(len(z), generator=source),
    )
    moved = (3.7 * z @ rotation)[views][:, samples]
    for loss in (
        lambda x, y: triplet(x, y, mining=mining),
        lambda x, y: margin_contrastive(x, y, margin=0.9),
    ):
        assert float(loss(moved, labels[samples])) == pytest.approx(
            float(loss(z, labels)), rel=1e-9, abs=1e-12
        )


@settings(deadline=None, max_examples=12)
@given(batches(), MININGS, st.booleans())
def test_the_gradient_is_that_of_finite_differences(batch, mining, squared):
    z, labels = batch
    assume(has_a_triplet(z, labels))
    margin = 5.0 if mining == "all" else None  # every triplet at cost: no kink is near
    assert torch.autograd.gradcheck(
        lambda x: triplet(x, labels, margin=margin, mining=mining, squared=squared),
        z.requires_grad_(),
    )
    assert torch.autograd.gradcheck(lambda x: margin_contrastive(x, labels, margin=2.5), z)


def test_rows_of_two_classes_in_one_place_get_no_slope_from_each_other():
    z = torch.tensor([[[1.0, 2.0], [1.0, 2.0]]], requires_grad=True)
    loss = margin_contrastive(z, torch.tensor([0, 1]), margin=1.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.5, abs=1e-3)
    assert bool((z.grad == 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["random", "duplicates", "zeros", "collapsed", "one axis"])
def test_loss_and_gradient_stay_finite(dtype, kind):
    start = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, -1])
    if kind == "duplicates":
        start[:, 1:3] = start[:, :1]
    elif kind == "zeros":
        start[0, :2] = 0
    elif kind == "collapsed":
        start[:] = start[0, 0].clone()
    elif kind == "one axis":  # distances of exactly 0
        start[:] = torch.eye(16)[0]
    every = [
        lambda x: margin_contrastive(x, labels),
        lambda x: margin_contrastive(x, torch.zeros_like(labels)),
    ]
    for squared in (True, False):
        every.append(lambda x, s=squared: triplet(x, labels, squared=s))
        every += [
            lambda x, s=squared, m=m: triplet(x, labels, margin=None, mining=m, squared=s)
            for m in ("semi_hard", "hard")
        ]
    for loss in every:
        z = start.to(dtype, copy=True).requires_grad_()
        value = loss(z)
        value.backward()
        assert value.dtype == torch.float32
        assert math.isfinite(float(value.detach()))
        assert bool(torch.isfinite(z.grad).all())
        assert float(z.grad.abs().max()) < 100  # no slope of a root near 0


def by_the_equation(z, labels, name):
    """In float64, distances from differences: triplets of every anchor, or pairs."""
    rows = z / z.norm(dim=-1, keepdim=True)
    rows, y = rows.flatten(0, 1), labels.repeat(len(z))
    itself = torch.eye(len(y), dtype=torch.bool)
    squares = (rows[:, None] - rows).square().sum(dim=-1)
    distances = torch.where(itself, 1.0, squares).sqrt()
    same = y[:, None] == y
    if name == "margin_contrastive":
        apart = (1 - distances).clamp(min=0).square()
        return torch.where(same, squares, apart)[~itself].mean() / 2
    ahead = distances[:, :, None] - distances[:, None]
    wanted = (same & ~itself)[:, :, None] & ~same[:, None]
    return (ahead + 0.2).clamp(min=0)[wanted].mean()


@pytest.mark.parametrize(
    ("distance", "bound"),
    [(0.05, 1e-3), (0.03, 1e-3), (4e-3, 1e-3), (4e-4, 1e-3), (1e-4, 1e-3), (1e-5, 1e-2)],
)
@pytest.mark.parametrize("width", [16, 128])
@pytest.mark.parametrize("name", ["margin_contrastive", "triplet"])
def test_close_negatives_push_each_other_as_exactly_as_float32_rows_allow(
    name, width, distance, bound
):
    """Rows of other classes in pairs, so close: the gradient of float64 on the same rows."""
    source = torch.Generator().manual_seed(width)
    start = torch.randn(2, 12, width, generator=source, dtype=torch.float64)
    start = start / start.norm(dim=-1, keepdim=True)
    away = torch.randn(2, 12, width, generator=source, dtype=torch.float64)
    away = away - (away * start).sum(dim=-1, keepdim=True) * start
    near = start + distance * away / away.norm(dim=-1, keepdim=True)
    z = (3 * torch.cat([start, near], dim=1)).float()
    labels = torch.arange(24)
    known, ours = z.double().requires_grad_(), z.clone().requires_grad_()
    by_the_equation(known, labels, name).backward()
    options = {"squared": False} if name == "triplet" else {}
    getattr(losses, name)(ours, labels, **options).backward()
    assert float((ours.grad - known.grad).norm() / known.grad.norm()) <= bound


@pytest.mark.parametrize("many", [margin.MANY, 1.0])
def test_a_collapsed_batch_has_an_exact_gradient(monkeypatch, many):
    """All pairs are close then: in float64, or in more differences than are taken at a time."""
    monkeypatch.setattr(margin, "MANY", many)
    monkeypatch.setattr(margin, "AT_A_TIME", 7)
    source = torch.Generator().manual_seed(0)
    z = (1 + 1e-3 * torch.randn(2, 12, 16, generator=source, dtype=torch.float64)).float()
    labels = torch.arange(12) % 4
    for name, options in (("margin_contrastive", {}), ("triplet", {"squared": False})):
        known, ours = z.double().requires_grad_(), z.clone().requires_grad_()
        by_the_equation(known, labels, name).backward()
        getattr(losses, name)(ours, labels, **options).backward()
        assert float((ours.grad - known.grad).norm() / known.grad.norm()) <= 1e-3


@pytest.mark.parametrize("many", [margin.MANY, 1.0])
def test_close_rows_have_right_second_derivatives(monkeypatch, many):
    monkeypatch.setattr(margin, "MANY", many)
    source = torch.Generator().manual_seed(0)
    z = 1 + 3e-2 * torch.randn(1, 5, 3, generator=source, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 2])
    for loss in (
        lambda x: margin_contrastive(x, labels),
        lambda x: triplet(x, labels, margin=5.0, squared=False),
    ):
        assert torch.autograd.gradgradcheck(loss, z.clone().requires_grad_(), eps=1e-5, rtol=1e-2)


LABELS = torch.tensor([0, 0, 1, 1])
BROKEN = torch.ones(2, 4, 3).index_fill(2, torch.tensor([1]), math.nan)


@pytest.mark.parametrize("loss", [triplet, margin_contrastive])
@pytest.mark.parametrize(
    ("z", "labels", "message"),
    [
        (torch.ones(4, 3), LABELS, "z: want"),
        (torch.ones(2, 4, 3), LABELS[:3], "labels: want one for each of the 4"),
        (torch.ones(2, 4, 3), LABELS.float(), "labels: want integers"),
        (BROKEN, LABELS, "z: .*finite"),
        (torch.ones(1, 1, 3), LABELS[:1], "(z|labels): want"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(loss, z, labels, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(loss)(z, labels)  # without the tests' own shape check


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_a_margin_that_pushes_nothing_apart_is_refused(margin):
    with pytest.raises(ValueError, match="margin: want more than 0"):
        inspect.unwrap(margin_contrastive)(torch.ones(2, 4, 3), LABELS, margin=margin)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (LABELS, {"margin": -0.1}, "margin: want"),
        (LABELS, {"margin": math.nan}, "margin: want"),
        (LABELS, {"margin": None}, "margin: want a number"),
        (LABELS, {"mining": "easy"}, "mining: want"),
        (torch.zeros(4, dtype=torch.int64), {}, "labels: want .* no triplet"),
        (torch.zeros(4, dtype=torch.int64), {"mining": "semi_hard"}, "labels: want .* no triplet"),
        (torch.arange(4), {"mining": "hard"}, "labels: want .* no triplet"),
        (torch.full((4,), -1), {}, "labels: want .* no triplet"),
    ],
)
def test_triplet_refuses_its_own_bad_input_by_name(labels, options, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(triplet)(torch.ones(1, 4, 3), labels, **options)
