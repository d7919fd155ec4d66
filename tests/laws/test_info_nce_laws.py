"""info_nce against its equations, and its laws."""

import math

import contrastive_transcriptions as known
import pytest
import torch
from contrastive_transcriptions import TEMPERATURES, batches
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import info_nce
from nearfar.losses.choices import Negatives


def a_queue(rows: int) -> torch.Tensor:
    return torch.randn(rows, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(rows))


@settings(deadline=None, max_examples=100)
@given(batches(least_views=2), TEMPERATURES, st.sampled_from(Negatives.__args__), st.integers(0, 4))
def test_every_form_is_its_equation(batch, temperature, negatives, queued):
    z, _ = batch
    queue = a_queue(queued) if queued or negatives == "queue" else None
    if negatives == "queue" and not queued:
        queue = a_queue(1)
    expected = known.info_nce(z, temperature, negatives=negatives, queue=queue)
    ours = float(info_nce(z, temperature=temperature, negatives=negatives, queue=queue))
    assert ours == pytest.approx(expected, rel=1e-9)


def test_the_objective_of_simclr_s_authors_is_twice_as_large():
    """google-research/simclr, objective.py: `add_contrastive_loss`, term by term."""
    z = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = F.normalize(z, dim=-1)
    own, partners = 1e9 * torch.eye(6, dtype=torch.float64), torch.arange(6)
    aa, bb, ab = a @ a.T / 0.1 - own, b @ b.T / 0.1 - own, a @ b.T / 0.1
    loss_a = F.cross_entropy(torch.cat([ab, aa], dim=1), partners)
    loss_b = F.cross_entropy(torch.cat([ab.T, bb], dim=1), partners)
    assert float(loss_a + loss_b) == pytest.approx(2 * float(info_nce(z, temperature=0.1)))


def test_two_towers_of_two_views_is_the_symmetric_cross_entropy_of_the_similarities():
    z = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = F.normalize(z, dim=-1)
    scores, partners = a @ b.T / 0.1, torch.arange(6)
    both = (F.cross_entropy(scores, partners) + F.cross_entropy(scores.T, partners)) / 2
    assert float(info_nce(z, temperature=0.1, negatives="other_view")) == pytest.approx(
        float(both), rel=1e-12
    )


@pytest.mark.parametrize(
    ("negatives", "others"), [("all_rows", 11), ("other_view", 6), ("queue", 1)]
)
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_equal_projections_cost_log_of_what_they_are_set_against(negatives, others, temperature):
    z, queue = torch.ones(2, 6, 5, dtype=torch.float64), torch.ones(4, 5, dtype=torch.float64)
    loss = info_nce(z, temperature=temperature, negatives=negatives, queue=queue)
    assert float(loss) == pytest.approx(math.log(others + 4), rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(batches(least_views=2, most_samples=4), st.sampled_from(Negatives.__args__))
def test_the_gradient_is_that_of_finite_differences(batch, negatives):
    z, _ = batch
    queue = a_queue(3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, q: info_nce(x, temperature=0.5, negatives=negatives, queue=q),
        (z.requires_grad_(), queue),
    )


def test_a_larger_queue_never_makes_it_easier():
    z = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    losses = [float(info_nce(z, temperature=0.3, queue=a_queue(9)[:n])) for n in range(1, 10)]
    assert losses == sorted(losses)
