"""Redundancy and variance-covariance against slow float64 transcriptions, and their laws."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.core.errors import NotFiniteError
from nearfar.losses import redundancy, variance_covariance


def columns(view):
    """Each dimension of a view as a list of its values, less their mean."""
    found = []
    for column in zip(*view.tolist(), strict=True):
        mean = sum(column) / len(column)
        found.append([value - mean for value in column])
    return found


def transcription_of_redundancy(z, weight):
    """Zbontar et al. 2021, eq. 1 and 2, the mean over pairs of views."""
    terms = []
    for v in range(len(z)):
        for w in range(v + 1, len(z)):
            total = 0.0
            for i, a in enumerate(columns(z[v])):
                for j, b in enumerate(columns(z[w])):
                    lengths = [sum(x * x for x in c) + len(c) * 1e-5 for c in (a, b)]
                    c_ij = sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
                        lengths[0] * lengths[1]
                    )
                    total += (1 - c_ij) ** 2 if i == j else weight * c_ij**2
            terms.append(total)
    return sum(terms) / len(terms)


def transcription_of_variance_covariance(z, weights):
    """Bardes et al. 2021, eq. 1 to 6, the terms weighed as in main_vicreg.py."""
    views, samples, width = z.shape
    differences, still, together = [], [], []
    for v in range(views):
        for w in range(v + 1, views):
            differences.append(float((z[v] - z[w]).square().sum()) / (samples * width))
        centered = columns(z[v])
        for i, a in enumerate(centered):
            still.append(max(0.0, 1 - math.sqrt(sum(x * x for x in a) / (samples - 1) + 1e-4)))
            for j, b in enumerate(centered):
                if i != j:
                    together.append(
                        (sum(x * y for x, y in zip(a, b, strict=True)) / (samples - 1)) ** 2 / width
                    )
    parts = [
        sum(differences) / len(differences),
        sum(still) / len(still),
        2 * sum(together) / views,
    ]
    return sum(weight * part for weight, part in zip(weights, parts, strict=True))


@st.composite
def batches(draw):
    shape = draw(st.integers(2, 4)), draw(st.integers(2, 6)), draw(st.integers(2, 5))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return draw(st.sampled_from([0.3, 1.0, 3.0])) * torch.randn(
        shape, generator=source, dtype=torch.float64
    )


WEIGHTS = st.floats(0.01, 30)


@settings(deadline=None, max_examples=60)
@given(batches(), st.floats(0.001, 2))
def test_redundancy_is_its_equation(z, weight):
    expected = transcription_of_redundancy(z, weight)
    assert float(redundancy(z, off_diagonal_weight=weight)) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


@settings(deadline=None, max_examples=60)
@given(batches(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_variance_covariance_is_its_equation(z, invariance, variance, covariance):
    loss = variance_covariance(
        z, invariance_weight=invariance, variance_weight=variance, covariance_weight=covariance
    )
    expected = transcription_of_variance_covariance(z, (invariance, variance, covariance))
    assert float(loss) == pytest.approx(expected, rel=1e-9)


def white(samples: int, width: int) -> torch.Tensor:
    """Rows whose dimensions have mean 0, variance 1 (over N) and no correlation."""
    rows = torch.randn(
        samples, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    q, _ = torch.linalg.qr(rows - rows.mean(dim=0))
    return q * math.sqrt(samples)


def test_equal_rows_cost_what_is_known():
    z = torch.randn(1, 1, 7, dtype=torch.float64).expand(2, 9, -1)
    assert float(redundancy(z)) == pytest.approx(7)
    assert float(variance_covariance(z)) == pytest.approx(24.75)


def test_views_that_are_equal_and_white_cost_nothing():
    z = white(12, 5).expand(2, -1, -1)
    assert float(redundancy(z)) == pytest.approx(0, abs=1e-8)
    assert float(variance_covariance(1.1 * z)) == pytest.approx(0, abs=1e-9)


def test_dimensions_that_repeat_one_another_cost_their_number():
    z = white(12, 1).expand(2, -1, 6)
    assert float(redundancy(z, off_diagonal_weight=0.1)) == pytest.approx(0.1 * 6 * 5, rel=1e-4)


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31))
def test_order_of_samples_views_and_dimensions_and_a_shift_change_nothing(z, seed):
    source = torch.Generator().manual_seed(seed)
    views, samples, dims = (torch.randperm(n, generator=source) for n in z.shape)
    moved = z[views][:, samples][:, :, dims] + torch.randn(
        z.shape[2], generator=source, dtype=torch.float64
    )
    for loss in (redundancy, variance_covariance):
        assert float(loss(moved)) == pytest.approx(float(loss(z)), rel=1e-8, abs=1e-10)


def test_the_scale_of_a_dimension_does_not_matter_to_redundancy():
    z = 30 * torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scales = torch.tensor([0.5, 1.0, 2.0, 7.0], dtype=torch.float64)
    assert float(redundancy(z * scales)) == pytest.approx(float(redundancy(z)), rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(batches())
def test_the_gradient_is_that_of_finite_differences(z):
    z.requires_grad_()
    assert torch.autograd.gradcheck(redundancy, z)
    assert torch.autograd.gradcheck(variance_covariance, z)


@pytest.mark.parametrize("loss", [redundancy, variance_covariance])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["random", "equal", "zeros"])
def test_loss_and_gradient_are_finite_at_extremes_in_float32(loss, dtype, kind):
    z = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    z = (
        {"random": z, "equal": z[:1, :1].expand(2, 8, -1), "zeros": 0 * z}[kind]
        .to(dtype)
        .requires_grad_()
    )
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(z)
    value.backward()
    assert value.dtype == torch.float32
    assert bool(value.isfinite()) and bool(z.grad.isfinite().all())


@pytest.mark.parametrize("loss", [redundancy, variance_covariance])
def test_what_cannot_be_is_refused(loss):
    plain = inspect.unwrap(loss)  # without the tests' own shape check
    z = torch.randn(2, 4, 3)
    for wrong, message in [
        (z[0], "want .views"),
        (z[:1], "at least 2 views"),
        (z[:, :1], "at least two samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            plain(wrong)
    z[1, 2, 0] = torch.nan
    with pytest.raises(NotFiniteError, match="view 1, sample 2"):
        plain(z)
    name = "off_diagonal_weight" if loss is redundancy else "variance_weight"
    with pytest.raises(ValueError, match=name):
        plain(torch.randn(2, 4, 3), **{name: 0.0})
