"""Uniformity against a slow float64 transcription of its equation, its known values and its
laws.
"""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.losses import uniformity

SHARPNESS = st.floats(0.1, 5.0)


def transcription_of_uniformity(z, sharpness):
    """Wang & Isola 2020: log of the mean over i < j of exp(-t |z_i - z_j|²), averaged over views;
    unit rows.
    """
    logs = []
    for view in z.tolist():
        rows = [[x / (math.hypot(*row) or 1.0) for x in row] for row in view]
        terms = []
        for i in range(len(rows)):
            for j in range(i + 1, len(rows)):
                terms.append(
                    math.exp(
                        -sharpness
                        * sum((x - y) ** 2 for x, y in zip(rows[i], rows[j], strict=True))
                    )
                )
        logs.append(math.log(sum(terms) / len(terms)))
    return sum(logs) / len(logs)


def uniform_sphere(dim, t):
    """-2t + ln Γ(d/2) - (d/2 - 1) ln t + ln I_{d/2-1}(2t), the Bessel function as its series."""
    terms = [2 * m * math.log(t) - math.lgamma(m + 1) - math.lgamma(m + dim / 2) for m in range(60)]
    return -2 * t + math.lgamma(dim / 2) + math.log(sum(math.exp(x) for x in terms))


@st.composite
def batches(draw):
    shape = draw(st.integers(1, 3)), draw(st.integers(2, 8)), draw(st.integers(2, 5))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.randn(shape, generator=source, dtype=torch.float64)


@settings(deadline=None, max_examples=60)
@given(batches(), SHARPNESS)
def test_uniformity_is_its_equation(z, sharpness):
    expected = transcription_of_uniformity(z, sharpness)
    assert float(uniformity(z, sharpness=sharpness)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(batches(), SHARPNESS)
def test_it_lies_between_that_of_opposite_rows_and_0(z, sharpness):
    assert -4 * sharpness <= float(uniformity(z, sharpness=sharpness)) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equal_rows_have_0_and_two_opposite_ones_the_least(dtype):
    row = torch.randn(1, 1, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert float(uniformity(row.expand(2, 9, -1))) == pytest.approx(0, abs=2e-6)
    assert float(uniformity(torch.cat([row, -row], dim=1))) == pytest.approx(-8, abs=1e-5)


@pytest.mark.parametrize(("dim", "known"), [(2, -1.5750), (128, -3.9375)])
def test_rows_uniform_on_the_sphere_have_the_known_value(dim, known):
    """The mean potential of N rows is a U-statistic whose first-order term is 0, for on the sphere
    every row has the same expected potential: its standard deviation is √2 σ / N, σ that of one
    pair's potential.
    """
    # E exp(-2 d²), and E of its square, exp(-4 d²)
    first, second = (uniform_sphere(dim, t) for t in (2.0, 4.0))
    assert first == pytest.approx(known, abs=5e-5)
    n = 1_500
    z = torch.randn(2, n, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # of the log, mean of two views
    deviation = math.sqrt(2 * math.expm1(second - 2 * first)) / n / math.sqrt(2)
    assert deviation < 2e-3
    assert float(uniformity(z)) == pytest.approx(known, abs=4 * deviation + 5e-5)


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31))
def test_rotation_scale_and_order_of_samples_and_views_change_nothing(z, seed):
    source = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(
        torch.randn(z.shape[2], z.shape[2], generator=source, dtype=torch.float64)
    )
    samples, views = (
        torch.randperm(z.shape[1], generator=source),
        torch.randperm(len(z), generator=source),
    )
    moved = (3.7 * z @ rotation)[views][:, samples]
    assert float(uniformity(moved)) == pytest.approx(float(uniformity(z)), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31))
def test_each_view_counts_alone(z, seed):
    alone = [float(uniformity(view[None])) for view in z]
    assert float(uniformity(z)) == pytest.approx(sum(alone) / len(alone), rel=1e-9)
    samples = torch.randperm(z.shape[1], generator=torch.Generator().manual_seed(seed))
    moved = torch.cat([z[:1, samples], z[1:]])  # which rows are views of one sample does not matter
    assert float(uniformity(moved)) == pytest.approx(float(uniformity(z)), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches(), SHARPNESS, st.integers(1, 8))
def test_rows_of_zeros_lie_in_the_middle_of_the_sphere(z, sharpness, zeros):
    z[0, :zeros] = 0
    expected = transcription_of_uniformity(z, sharpness)
    assert float(uniformity(z, sharpness=sharpness)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    # a dead network has collapsed
    assert float(uniformity(torch.zeros(2, 5, 3))) == pytest.approx(0, abs=1e-6)


@settings(deadline=None, max_examples=12)
@given(batches(), SHARPNESS)
def test_the_gradient_is_that_of_finite_differences(z, sharpness):
    assert torch.autograd.gradcheck(
        lambda x: uniformity(x, sharpness=sharpness), z.requires_grad_()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sharpness", [2.0, 100.0])
@pytest.mark.parametrize("kind", ["random", "duplicates", "zeros", "collapsed", "opposite"])
def test_loss_and_gradient_stay_finite(dtype, sharpness, kind):
    z = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    if kind == "duplicates":
        z[:, 1] = z[:, 0]
    elif kind == "zeros":
        z[0, :2] = 0
    elif kind == "collapsed":
        z[:] = z[0, 0].clone()
    elif kind == "opposite":  # exp(-400) is 0 in float32
        z = torch.stack([z[:, 0], -z[:, 0]], dim=1)
    z = z.to(dtype).requires_grad_()
    loss = uniformity(z, sharpness=sharpness)
    loss.backward()
    assert loss.dtype == torch.float32
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(z.grad).all())


@pytest.mark.parametrize(
    ("z", "sharpness", "message"),
    [
        (torch.ones(4, 3), 2.0, "z: want"),
        (torch.ones(2, 1, 3), 2.0, "z: want at least two samples"),
        (torch.ones(2, 0, 3), 2.0, "z: want"),
        (torch.ones(2, 4, 3), 0.0, "sharpness: want more than 0"),
        (torch.ones(2, 4, 3), math.nan, "sharpness: want more than 0"),
        (torch.ones(2, 4, 3) * math.inf, 2.0, "z: .*finite"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(z, sharpness, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(uniformity)(z, sharpness=sharpness)  # without the tests' own shape check
