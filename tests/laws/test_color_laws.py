"""The loss of colors, its bins and weights, and CIE Lab, against slow transcriptions and known
values.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.core.errors import NotFiniteError
from nearfar.losses import color_prediction
from nearfar.losses.color import BINS, rebalancing, soft_code
from nearfar.views.color import lab


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def transcribed_code(ab):
    """The 10 nearest bins by a full sort, and Gaussian shares of deviation 5."""
    near = sorted((math.dist(ab, center), number) for number, center in enumerate(BINS))[:10]
    gauss = [math.exp(-(distance**2 - near[0][0] ** 2) / 50) for distance, _ in near]
    return {number: g / sum(gauss) for (_, number), g in zip(near, gauss, strict=True)}


def transcription(scores, ab, weights, counted):
    """Zhang 2016, eq. 2: -w sum_q c_q log p_q, w that of the nearest bin, as a mean over the pixels
    that count.
    """
    terms = []
    for row, color, counts in zip(scores.tolist(), ab.tolist(), counted.tolist(), strict=True):
        whole = math.log(sum(math.exp(x) for x in row))
        code = transcribed_code(color)
        cost = -sum(share * (row[q] - whole) for q, share in code.items())
        terms += [weights[max(code, key=code.get)] * cost] if counts else []
    return sum(terms) / len(terms) if terms else 0.0


def test_there_are_the_313_bins_of_the_published_set():
    assert len(BINS) == len(set(BINS)) == 313
    assert all(a % 10 == b % 10 == 0 for a, b in BINS)
    assert (min(b for _, b in BINS), max(b for _, b in BINS)) == (-110, 100)
    assert [b for a, b in BINS if a == -90] == [50, 60, 70, 80, 90]
    assert [b for a, b in BINS if a == 100] == [-90, -80, -70, -60, -50, -40, -30, -20, -10, 0]


def test_every_color_of_srgb_lies_in_a_bin_and_some_bins_have_none():
    """All 2²⁴ colors fill 261; the 52 levels a channel here, which hold its corners, fill nearly
    as many.
    """
    level = torch.linspace(0, 1, 52, dtype=torch.float64)
    colors = torch.cartesian_prod(level, level, level).T[:, :, None]
    ab = lab(colors)[1:].squeeze(-1).T
    filled = {(float(a), float(b)) for a, b in ((ab / 10).round() * 10 + 0.0).unique(dim=0)}
    assert filled <= set(BINS)
    assert 255 <= len(filled) <= 261


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.floats(-100, 110), st.floats(-120, 110)))
def test_the_soft_code_is_that_of_the_ten_nearest_bins(ab):
    bins, shares = soft_code(torch.tensor([ab], dtype=torch.float64))
    known = transcribed_code(ab)
    assert float(shares.sum()) == pytest.approx(1)
    for number, share in zip(bins[0].tolist(), shares[0].tolist(), strict=True):
        # of bins equally far any may be the tenth
        assert share == pytest.approx(known.get(number, share), abs=1e-9)
    assert bool((shares.diff() <= 1e-12).all())
    assert math.dist(BINS[int(bins[0, 0])], ab) == pytest.approx(
        min(math.dist(c, ab) for c in BINS), abs=1e-6
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.05, 1))
def test_weights_have_mean_1_over_colors_and_stand_as_the_inverse_of_the_smoothed_frequencies(
    seed, share
):
    frequency = random(313, seed=seed).square()
    frequency[:20] = 0
    frequency /= frequency.sum()
    weights = rebalancing(frequency, uniform_share=share)
    assert float((frequency * weights).sum()) == pytest.approx(1)
    product = weights * ((1 - share) * frequency + share / 313)
    assert torch.allclose(product, product[0].expand(313))
    assert torch.allclose(rebalancing(torch.full((313,), 1 / 313)), torch.ones(313))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 5))
def test_it_is_the_loss_of_zhang(seed, pixels):
    scores, ab = 2 * random(pixels, 313, seed=seed), 40 * random(pixels, 2, seed=seed + 1)
    weights, counted = random(313, seed=seed + 2).square(), random(pixels, seed=seed + 3) > -0.5
    known = transcription(scores, ab, weights.tolist(), counted)
    assert float(color_prediction(scores, ab, weights, counted=counted)) == pytest.approx(
        known, rel=1e-9
    )
    everything = transcription(scores, ab, weights.tolist(), torch.ones(pixels))
    assert float(color_prediction(scores, ab, weights)) == pytest.approx(everything, rel=1e-9)


def test_equal_scores_cost_log_313_and_pixels_that_do_not_count_nothing():
    ab, weights = 30 * random(6, 2), torch.ones(313, dtype=torch.float64)
    scores = torch.zeros(6, 313, dtype=torch.float64, requires_grad=True)
    assert float(color_prediction(scores, ab, weights).detach()) == pytest.approx(math.log(313))
    loss = color_prediction(scores, ab, weights, counted=torch.zeros(6, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not scores.grad.any()


def test_the_gradient_is_finite_at_extreme_scores_and_a_faulty_score_is_refused():
    scores = (1e4 * random(4, 313)).float().requires_grad_()
    color_prediction(scores, torch.zeros(4, 2), torch.ones(313)).backward()
    assert bool(scores.grad.isfinite().all())
    with pytest.raises(NotFiniteError, match="scores"):
        color_prediction(torch.full((1, 313), math.nan), torch.zeros(1, 2), torch.ones(313))


# sRGB by D65, as tables of the CIE values of its corners have them.
@pytest.mark.parametrize(
    ("rgb", "known"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (100, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((1, 1, 0), (97.14, -21.55, 94.48)),
        ((0, 1, 1), (91.11, -48.09, -14.13)),
        ((1, 0, 1), (60.32, 98.23, -60.82)),
        ((119 / 255, 119 / 255, 119 / 255), (50.03, 0, 0)),
        ((2 / 255, 2 / 255, 2 / 255), (0.548, 0, 0)),
    ],
)
def test_lab_has_the_known_values_of_colors(rgb, known):
    found = lab(torch.tensor(rgb, dtype=torch.float64)[:, None, None]).flatten().tolist()
    assert found == pytest.approx(known, abs=0.06)


def test_lab_is_finite_outside_the_range_and_grays_have_no_color():
    wild = 3 * random(2, 3, 4, 4)
    assert torch.equal(lab(wild), lab(wild.clamp(0, 1)))
    gray = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0)).expand(2, 3, 9, 9)
    assert float(lab(gray)[:, 1:].abs().max()) < 1e-3
