"""Negative cosine and alignment against slow float64 transcriptions of their equations, and their
laws.
"""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import alignment, negative_cosine

EXPONENTS = st.sampled_from([0.5, 1.0, 2.0, 3.0])


def unit(row):
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


def transcription_of_negative_cosine(prediction, target):
    """Chen & He 2021, eq. 1-2: the mean over views v != w and samples of -cos(prediction_v,
    target_w).
    """
    p, t = prediction.tolist(), target.tolist()
    terms = []
    for v in range(len(p)):
        for w in range(len(t)):
            for b in range(len(p[v])):
                if v != w:
                    terms.append(
                        -sum(x * y for x, y in zip(unit(p[v][b]), unit(t[w][b]), strict=True))
                    )
    return sum(terms) / len(terms)


def transcription_of_alignment(z, exponent):
    """Wang & Isola 2020: the mean over pairs of views and samples of |z_v - z_w|^exponent, unit
    rows.
    """
    views = z.tolist()
    terms = []
    for v in range(len(views)):
        for w in range(v + 1, len(views)):
            for a, b in zip(views[v], views[w], strict=True):
                squares = sum((x - y) ** 2 for x, y in zip(unit(a), unit(b), strict=True))
                terms.append(squares ** (exponent / 2))
    return sum(terms) / len(terms)


@st.composite
def batches(draw):
    shape = draw(st.integers(2, 4)), draw(st.integers(1, 6)), draw(st.integers(2, 5))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return tuple(torch.randn(shape, generator=source, dtype=torch.float64) for _ in range(2))


@settings(deadline=None, max_examples=60)
@given(batches())
def test_negative_cosine_is_equations_1_and_2(batch):
    expected = transcription_of_negative_cosine(*batch)
    assert float(negative_cosine(*batch)) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@settings(deadline=None, max_examples=60)
@given(batches(), EXPONENTS)
def test_alignment_is_its_equation(batch, exponent):
    expected = transcription_of_alignment(batch[0], exponent)
    assert float(alignment(batch[0], exponent=exponent)) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches())
def test_byols_loss_over_both_directions_is_4_plus_4_times_negative_cosine(batch):
    p, t = (x[:2] for x in batch)
    byol = sum(  # Grill et al. 2020, eq. 2, each direction a mean over samples
        (F.normalize(p[v], dim=-1) - F.normalize(t[1 - v], dim=-1)).square().sum(-1).mean()
        for v in range(2)
    )
    assert float(byol) == pytest.approx(4 + 4 * float(negative_cosine(p, t)), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches())
def test_alignment_is_2_plus_2_times_the_negative_cosine_of_rows_with_themselves(batch):
    z = batch[0]
    assert float(alignment(z)) == pytest.approx(2 + 2 * float(negative_cosine(z, z)), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches())
def test_no_gradient_reaches_the_target(batch):
    prediction, target = (x.requires_grad_() for x in batch)
    negative_cosine(prediction, target).backward()
    assert target.grad is None
    assert bool((prediction.grad != 0).any())
    together = prediction.detach().requires_grad_()
    # as a prediction it learns, as a target it does not
    negative_cosine(together, together).backward()
    alone = prediction.detach().requires_grad_()
    negative_cosine(alone, alone.detach()).backward()
    assert torch.equal(together.grad, alone.grad)


def test_equal_views_are_the_best_and_opposite_ones_the_worst():
    row = torch.randn(1, 5, 7, generator=torch.Generator().manual_seed(0))
    equal, opposite = row.expand(2, -1, -1), torch.cat([row, -row])
    assert float(negative_cosine(equal, 3 * equal)) == pytest.approx(-1, abs=1e-6)
    assert float(negative_cosine(opposite, 3 * opposite)) == pytest.approx(1, abs=1e-6)
    for exponent in (0.5, 1.0, 2.0, 3.0):
        assert float(alignment(equal, exponent=exponent)) == 0
        assert float(alignment(opposite, exponent=exponent)) == pytest.approx(2**exponent, rel=1e-6)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_alignment_of_views_a_hair_apart_keeps_its_digits_in_float32(exponent):
    first = torch.randn(1, 64, 128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hair = 1e-4 * torch.randn(
        1, 64, 128, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    z = torch.cat([first, first + hair])
    exact = float(alignment(z, exponent=exponent))
    assert float(alignment(z.float(), exponent=exponent)) == pytest.approx(exact, rel=1e-2)


@settings(deadline=None, max_examples=30)
@given(batches(), EXPONENTS, st.integers(0, 2**31))
def test_rotation_scale_and_order_of_samples_and_views_change_nothing(batch, exponent, seed):
    p, t = batch
    source = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(
        torch.randn(p.shape[2], p.shape[2], generator=source, dtype=torch.float64)
    )
    samples, views = (
        torch.randperm(p.shape[1], generator=source),
        torch.randperm(len(p), generator=source),
    )
    moved_p, moved_t = ((3.7 * x @ rotation)[views][:, samples] for x in (p, t))
    assert float(negative_cosine(moved_p, moved_t)) == pytest.approx(
        float(negative_cosine(p, t)), rel=1e-9, abs=1e-13
    )
    before = float(alignment(p, exponent=exponent))
    assert float(alignment(moved_p, exponent=exponent)) == pytest.approx(before, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(batches(), EXPONENTS)
def test_the_gradient_is_that_of_finite_differences(batch, exponent):
    p, t = batch
    assert torch.autograd.gradcheck(lambda x: negative_cosine(x, t), p.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: alignment(x, exponent=exponent), p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["random", "duplicates", "equal views", "zeros"])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 3.0])
def test_loss_and_gradient_stay_finite(dtype, kind, exponent):
    start = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    if kind == "duplicates":
        start[:, 1] = start[:, 0]
    elif kind == "equal views":
        start[1] = start[0]
    elif kind == "zeros":
        start[0, 0], start[:, 1] = 0, 0
    for loss in (
        lambda x: negative_cosine(x, x.detach()),
        lambda x: alignment(x, exponent=exponent),
    ):
        z = start.to(dtype, copy=True).requires_grad_()
        value = loss(z)
        value.backward()
        assert value.dtype == torch.float32
        assert math.isfinite(float(value.detach()))
        assert bool(torch.isfinite(z.grad).all())


ROWS = torch.ones(2, 4, 3)
BROKEN = ROWS.index_fill(2, torch.tensor([1]), math.nan)


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (ROWS[0], ROWS[0], "prediction: want"),
        (ROWS[:1], ROWS[:1], "prediction: want"),
        (ROWS, ROWS[:, :3], "target: want"),
        (ROWS, ROWS[:, :, :2], "target: want"),
        (ROWS, ROWS[:1], "target: want"),
        (ROWS[:, :0], ROWS[:, :0], "prediction: want"),
        (BROKEN, ROWS, "prediction: .*finite"),
        (ROWS, BROKEN, "target: .*finite"),
    ],
)
def test_negative_cosine_refuses_what_it_cannot_compute_by_name(prediction, target, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(negative_cosine)(prediction, target)  # without the tests' own shape check


@pytest.mark.parametrize(
    ("z", "exponent", "message"),
    [
        (ROWS[0], 2.0, "z: want"),
        (ROWS[:1], 2.0, "z: want"),
        (ROWS[:, :0], 2.0, "z: want"),
        (ROWS, 0.0, "exponent: want more than 0"),
        (ROWS, math.nan, "exponent: want more than 0"),
        (ROWS, math.inf, "exponent: want more than 0"),
        (BROKEN, 2.0, "z: .*finite"),
    ],
)
def test_alignment_refuses_what_it_cannot_compute_by_name(z, exponent, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(alignment)(z, exponent=exponent)
