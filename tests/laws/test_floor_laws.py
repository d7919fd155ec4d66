"""The floors of the softmax losses: what perfect clusters cost, and that nothing costs less."""

import math

import pytest
import torch
from contrastive_transcriptions import TEMPERATURES
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import info_nce, sup_con
from nearfar.losses.floors import info_nce_floor, smoothed_entropy, sup_con_floor

COUNTS = st.lists(st.integers(1, 4), min_size=2, max_size=5)
FORMS = st.sampled_from(("outside", "inside"))


def simplex(classes: int) -> torch.Tensor:
    """Unit rows, the cosine of any two of which is -1 / (K - 1)."""
    centered = torch.eye(classes, dtype=torch.float64) - 1 / classes
    return F.normalize(centered, dim=-1)


@settings(deadline=None, max_examples=25)
@given(COUNTS, st.integers(1, 3), TEMPERATURES, FORMS, st.none() | st.integers(0, 2))
def test_it_is_the_loss_of_one_point_a_class_on_a_simplex(counts, views, temperature, form, others):
    """Whatever the sizes of the classes; an unlabeled sample is a class of its own."""
    at = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = torch.where(at == 0, -1, at) if counts[0] == 1 else at
    z = simplex(len(counts))[at].expand(views, -1, -1)
    cap = None if others is None or views == 1 else others * views
    floor = float(sup_con_floor(labels, views=views, temperature=temperature, positives_cap=cap))
    if views == 1 and max(counts) == 1:  # no row has a positive
        assert floor == 0
        return
    loss = sup_con(z, labels, temperature=temperature, form=form, positives_cap=cap)
    assert floor == pytest.approx(float(loss), rel=1e-5, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 6), st.integers(2, 3), TEMPERATURES)
def test_the_floor_of_info_nce_is_that_of_samples_which_are_their_own_classes(
    samples, views, temperature
):
    floor = info_nce_floor(views - 1, views * (samples - 1), samples, temperature=temperature)
    z = simplex(samples).expand(views, -1, -1)
    assert floor == pytest.approx(float(info_nce(z, temperature=temperature)), rel=1e-9, abs=1e-12)
    own = sup_con_floor([-1] * samples, views=views, temperature=temperature)
    assert floor == pytest.approx(float(own), rel=1e-5, abs=1e-6)
    towers = info_nce(z[:2], temperature=temperature, negatives="other_view")
    floor = info_nce_floor(1, samples - 1, samples, temperature=temperature)
    assert floor == pytest.approx(float(towers), rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(2, 4), TEMPERATURES, FORMS, st.integers(0, 2**31))
def test_nothing_costs_less_where_classes_are_of_one_size(each, classes, temperature, form, seed):
    """Rows that have gone down the gradient for a while from anywhere."""
    labels = torch.arange(classes).repeat_interleave(each)
    source = torch.Generator().manual_seed(seed)
    z = torch.randn(2, len(labels), classes, generator=source, dtype=torch.float64)
    z.requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.3)
    floor = float(sup_con_floor(labels, views=2, temperature=temperature))
    for _ in range(8):
        loss = sup_con(z, labels, temperature=temperature, form=form)
        assert float(loss.detach()) >= floor - 1e-6
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_at_a_low_temperature_it_is_the_logarithm_of_the_number_of_positives():
    labels = torch.arange(6).repeat_interleave(11)
    floor = float(sup_con_floor(labels, views=2, temperature=0.1))
    assert floor == pytest.approx(math.log(21), abs=1e-3)
    # of 128 rows of six classes: what is told of the household objects
    assert math.log(128 / 6 - 1) == pytest.approx(3.01, abs=0.01)


def test_the_floor_of_cross_entropy_is_the_entropy_of_its_target():
    assert smoothed_entropy(10, 0.0) == 0
    for classes, smoothing in ((3, 0.1), (10, 0.5)):
        target = torch.full((classes,), smoothing / classes, dtype=torch.float64)
        target[0] += 1 - smoothing
        least = F.cross_entropy(target.log()[None], torch.tensor([0]), label_smoothing=smoothing)
        assert smoothed_entropy(classes, smoothing) == pytest.approx(float(least), rel=1e-9)
