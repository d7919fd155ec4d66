"""The relation loss against a slow float64 transcription of its equation, and its laws."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import relation


def log_sigmoid(x):
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def transcription_of_relation(scores, targets, form, focus, positive_weight):
    """Mean of -t log p - (1-t) log(1-p); focal: each term times its weight and (1 - p of what is
    true)^focus.
    """
    terms = []
    for s, t in zip(scores.flatten().tolist(), targets.flatten().tolist(), strict=True):
        positive, negative = -t * log_sigmoid(s), -(1 - t) * log_sigmoid(-s)
        if form == "focal":
            p = 1 / (1 + math.exp(-s))
            positive *= positive_weight * (1 - p) ** focus
            negative *= (1 - positive_weight) * p**focus
        terms.append(positive + negative)
    return sum(terms) / len(terms)


@st.composite
def pairs(draw):
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scores = draw(st.floats(0.1, 10)) * torch.randn(shape, generator=source, dtype=torch.float64)
    return scores, torch.randint(0, 2, shape, generator=source).double()


@settings(deadline=None, max_examples=60)
@given(pairs(), st.sampled_from(["bce", "focal"]), st.floats(0, 5), st.floats(0, 1))
def test_relation_is_its_equation(batch, form, focus, positive_weight):
    options = {"form": form, "focus": focus, "positive_weight": positive_weight}
    expected = transcription_of_relation(*batch, **options)
    assert float(relation(*batch, **options)) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@settings(deadline=None, max_examples=30)
@given(pairs())
def test_bce_is_torchs_own_and_focal_at_most_half_of_it(batch):
    bce = float(F.binary_cross_entropy_with_logits(*batch))
    assert float(relation(*batch)) == pytest.approx(bce, rel=1e-9)
    assert float(relation(*batch, form="focal", focus=0.0, positive_weight=0.5)) == pytest.approx(
        bce / 2, rel=1e-9
    )
    losses = [float(relation(*batch, form="focal", focus=focus)) for focus in (0.0, 0.5, 2.0, 4.0)]
    assert losses == sorted(losses, reverse=True)  # more focus, less loss


def test_the_defaults_are_those_of_the_public_code():
    scores, targets = torch.tensor([1.5, -0.3]), torch.tensor([1.0, 0.0])
    assert relation(scores, targets) == relation(scores, targets, form="bce")
    assert relation(scores, targets, form="focal") == relation(
        scores, targets, form="focal", focus=2.0, positive_weight=0.5
    )


def test_scores_of_zero_have_their_known_values():
    scores, targets = torch.zeros(2, 3, dtype=torch.float64), torch.eye(2, 3, dtype=torch.float64)
    assert float(relation(scores, targets)) == pytest.approx(math.log(2), rel=1e-12)
    assert float(relation(scores, targets, form="focal")) == pytest.approx(
        math.log(2) / 8, rel=1e-12
    )


@settings(deadline=None, max_examples=30)
@given(pairs(), st.floats(0, 1), st.integers(0, 2**31))
def test_order_changes_nothing_nor_does_swapping_the_roles_with_the_weight(batch, weight, seed):
    scores, targets = (x.flatten() for x in batch)
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed))
    before = float(relation(scores, targets, form="focal", positive_weight=weight))
    moved = relation(scores[order], targets[order], form="focal", positive_weight=weight)
    swapped = relation(-scores, 1 - targets, form="focal", positive_weight=1 - weight)
    assert float(moved) == pytest.approx(before, rel=1e-9)
    assert float(swapped) == pytest.approx(before, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(pairs(), st.sampled_from(["bce", "focal"]), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_the_gradient_is_that_of_finite_differences(batch, form, focus):
    scores, targets = batch
    assert torch.autograd.gradcheck(
        lambda s: relation(s, targets, form=form, focus=focus), scores.requires_grad_()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("focus", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 200.0, 1e4])
def test_loss_and_gradient_stay_finite_however_sure_the_scores(dtype, focus, size):
    targets = torch.tensor([1, 0, 1, 0], dtype=dtype)
    for form in ("bce", "focal"):
        scores = (size * torch.tensor([1.0, 1.0, -1.0, -1.0])).to(dtype).requires_grad_()
        loss = relation(scores, targets, form=form, focus=focus)
        loss.backward()
        assert loss.dtype == torch.float32
        assert math.isfinite(float(loss.detach()))
        assert bool(torch.isfinite(scores.grad).all())
        if size > 1:  # a confident error costs its score, and is pulled back
            assert float(loss.detach()) == pytest.approx(
                size / (2 if form == "bce" else 4), rel=1e-2
            )
            assert float(scores.grad[1]) > 0 > float(scores.grad[2])


def test_pairs_of_one_kind_alone_are_allowed():
    scores = torch.tensor([0.5, -1.0], dtype=torch.float64)
    for kind in (torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)):
        expected = transcription_of_relation(scores, kind, "focal", 2.0, 0.5)
        assert float(relation(scores, kind, form="focal")) == pytest.approx(expected, rel=1e-12)


SCORES, TARGETS = torch.zeros(3), torch.tensor([0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("scores", "targets", "options", "message"),
    [
        (SCORES, TARGETS[:2], {}, "targets: want"),
        (SCORES, TARGETS[:, None], {}, "targets: want"),
        (SCORES[:0], TARGETS[:0], {}, "scores: want"),
        (SCORES, TARGETS, {"form": "hinge"}, "form: want"),
        (torch.tensor([0.0, math.nan, 1.0]), TARGETS, {}, "scores: .*finite"),
        (torch.tensor([0.0, math.inf, 1.0]), TARGETS, {}, "scores: .*finite"),
        (SCORES, TARGETS, {"form": "focal", "focus": -1.0}, "focus: want"),
        (SCORES, TARGETS, {"form": "focal", "focus": math.nan}, "focus: want"),
        (SCORES, TARGETS, {"form": "focal", "focus": math.inf}, "focus: want"),
        (SCORES, TARGETS, {"form": "focal", "positive_weight": 1.1}, "positive_weight: want"),
        (SCORES, TARGETS, {"form": "focal", "positive_weight": -0.1}, "positive_weight: want"),
        (SCORES, TARGETS, {"form": "focal", "positive_weight": math.nan}, "positive_weight: want"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(scores, targets, options, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(relation)(scores, targets, **options)  # without the tests' own shape check


@pytest.mark.parametrize("form", ["bce", "focal"])
def test_scores_in_double_precision_stay_so_whatever_their_targets_are(form):
    scores = torch.linspace(-3, 3, 8, dtype=torch.float64)
    targets = torch.arange(8) % 2
    loss = relation(scores, targets.float(), form=form)
    assert loss.dtype == torch.float64
    assert float(loss) == float(relation(scores, targets.double(), form=form))
