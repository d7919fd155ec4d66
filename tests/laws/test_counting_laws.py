"""The loss of counts against a slow float64 transcription of its equation, and its laws."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.core.errors import NotFiniteError, NothingToCompareError
from nearfar.losses import counting


def transcription(whole, parts, margin):
    """Noroozi 2017: |w - sum_j p_j|² + max(0, margin - |w' - sum_j p_j|²), w' the next image's, a
    mean over images.
    """
    terms = []
    for view in range(len(whole)):
        images = whole[view].tolist()
        for b, own in enumerate(images):
            total = [sum(float(part[view, b, k]) for part in parts) for k in range(len(own))]
            other = images[(b + 1) % len(images)]
            near, far = (
                sum((x - y) ** 2 for x, y in zip(w, total, strict=True)) for w in (own, other)
            )
            terms.append(near + max(0.0, margin - far))
    return sum(terms) / len(terms)


@st.composite
def counts(draw, most_parts=4):
    shape = draw(st.integers(1, 3)), draw(st.integers(2, 6)), draw(st.integers(1, 5))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    parts = draw(st.integers(1, most_parts))
    made = torch.randn(parts + 1, *shape, generator=source, dtype=torch.float64).relu()
    return made[0], made[1:]


@settings(deadline=None, max_examples=60)
@given(counts(), st.floats(0.1, 20))
def test_it_is_the_loss_of_noroozi(made, margin):
    whole, parts = made
    assert float(counting(whole, parts, margin=margin)) == pytest.approx(
        transcription(whole, parts, margin), rel=1e-9
    )


def test_no_counts_at_all_cost_the_margin_and_equal_ones_nine_squares_and_what_the_margin_lacks():
    nothing = torch.zeros(1, 3, 5)
    assert float(counting(nothing, torch.zeros(4, 1, 3, 5))) == 10
    # |c - 4c|² = 9 c² over 5 counts, against the own image and against the other
    for c in (0.1, 2.0):
        same = float(counting(nothing + c, torch.zeros(4, 1, 3, 5) + c))
        assert same == pytest.approx(45 * c**2 + max(0.0, 10 - 45 * c**2), rel=1e-5)


def test_the_margin_is_on_the_distance_over_all_counts_not_on_each():
    """A code in circulation has it on each count: with 100 far apart in one alone it would still
    cost 990.
    """
    whole, parts = torch.zeros(1, 2, 100), torch.zeros(4, 1, 2, 100)
    whole[0, 0, 0] = 4
    parts[:, 0, 0, 0] = 1
    assert float(counting(whole, parts)) == 0


@settings(deadline=None, max_examples=30)
@given(counts(), st.integers(0, 2**31))
def test_the_order_of_parts_and_of_counts_changes_nothing(made, seed):
    whole, parts = made
    source = torch.Generator().manual_seed(seed)
    order, of_counts = (
        torch.randperm(len(parts), generator=source),
        torch.randperm(whole.shape[-1], generator=source),
    )
    again = counting(whole[..., of_counts], parts[order][..., of_counts])
    assert float(again) == pytest.approx(float(counting(whole, parts)), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 9))
def test_no_image_meets_itself_as_the_other(samples):
    """Counts that add up, of images that are far apart: an image that met itself would cost the
    margin.
    """
    whole = 100.0 * torch.eye(samples)[None]
    assert float(counting(whole, whole[None])) == 0


def test_a_single_image_and_faulty_values_are_refused():
    whole, parts = torch.ones(2, 1, 3), torch.ones(4, 2, 1, 3)
    with pytest.raises(NothingToCompareError, match="want at least two images, got one"):
        counting(whole, parts)
    with pytest.raises(
        ValueError, match=r"parts: want \(parts, \*\(2, 1, 3\)\), got shape \(4, 2, 3\)"
    ):
        # past the check of shapes that the test run switches on
        inspect.unwrap(counting)(whole, parts[:, :, 0])
    with pytest.raises(ValueError, match="margin"):
        counting(whole, parts, margin=0)
    with pytest.raises(NotFiniteError, match="counts"):
        counting(torch.full((1, 2, 3), float("nan")), torch.ones(4, 1, 2, 3))


def test_gradients_are_finite_where_counts_vanish_and_where_they_are_large():
    for size in (0.0, 1e6):
        whole = torch.full((1, 3, 4), size, requires_grad=True)
        counting(whole, torch.full((4, 1, 3, 4), size)).backward()
        assert bool(whole.grad.isfinite().all())
