"""Large-margin softmax against a slow float64 transcription of equations 6 and 7, and its laws."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import large_margin_softmax
from nearfar.losses.classification import large_margin

MARGINS = st.integers(1, 5)


def psi(angle, margin):
    """Liu et al. 2016, eq. 6: (-1)^k cos(m θ) - 2k on [k π / m, (k + 1) π / m]."""
    for k in range(margin):
        if k * math.pi / margin <= angle <= (k + 1) * math.pi / margin:
            return (-1) ** k * math.cos(margin * angle) - 2 * k
    raise AssertionError(angle)


def transcription_of_large_margin_softmax(h, weight, labels, margin, softness):
    """Eq. 7: cross-entropy whose true logit is |w||h| (λ cos θ + ψ(θ)) / (1 + λ), over labeled
    rows.
    """
    terms = []
    for view in h.tolist():
        for row, label in zip(view, labels.tolist(), strict=True):
            if label < 0:
                continue
            logits = [sum(a * b for a, b in zip(row, w, strict=True)) for w in weight.tolist()]
            length = math.hypot(*row) * math.hypot(*weight[label].tolist())
            cosine = max(-1.0, min(1.0, logits[label] / length))
            logits[label] = (
                length * (softness * cosine + psi(math.acos(cosine), margin)) / (1 + softness)
            )
            top = max(logits)
            terms.append(top + math.log(sum(math.exp(x - top) for x in logits)) - logits[label])
    return sum(terms) / len(terms)


@st.composite
def batches(draw):
    views, batch, width, classes = (
        draw(st.integers(a, b)) for a, b in ((1, 3), (1, 6), (2, 5), (2, 4))
    )
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    labels = torch.tensor(
        draw(st.lists(st.integers(-1, classes - 1), min_size=batch, max_size=batch))
    )
    labels[0] = max(int(labels[0]), 0)
    h = torch.randn(views, batch, width, generator=source, dtype=torch.float64)
    return h, torch.randn(classes, width, generator=source, dtype=torch.float64), labels


def plain(h, weight, labels):
    kept = labels >= 0
    return float(
        F.cross_entropy((h[:, kept] @ weight.T).flatten(0, 1), labels[kept].repeat(len(h)))
    )


@settings(deadline=None, max_examples=60)
@given(batches(), MARGINS, st.one_of(st.just(0.0), st.floats(0, 50)))
def test_large_margin_softmax_is_equations_6_and_7(batch, margin, softness):
    ours = float(large_margin_softmax(*batch, margin=margin, softness=softness))
    expected = transcription_of_large_margin_softmax(*batch, margin, softness)
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(MARGINS, st.floats(0, math.pi))
def test_psi_is_that_of_equation_6(margin, angle):
    ours = float(large_margin(torch.tensor(math.cos(angle), dtype=torch.float64), margin))
    # cos is flat at 0 and π: half the digits are lost
    assert ours == pytest.approx(psi(angle, margin), abs=1e-7)


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 5])
def test_psi_falls_without_a_jump_from_1_to_1_minus_2m_and_stays_below_the_cosine(margin):
    steps = 100_000
    cosine = torch.linspace(0, math.pi, steps + 1, dtype=torch.float64).cos()
    psi = large_margin(cosine, margin)
    assert float(psi[0]) == pytest.approx(1, abs=1e-12)
    assert float(psi[-1]) == pytest.approx(1 - 2 * margin, abs=1e-12)
    assert bool((psi.diff() < 1e-12).all())
    # its slope is at most m
    assert float(psi.diff().abs().max()) <= margin * math.pi / steps * 1.001
    assert bool((psi <= cosine + 1e-12).all())


@pytest.mark.parametrize("margin", [2, 3, 4, 5])
def test_psi_has_its_known_value_at_every_seam(margin):
    for k in range(margin + 1):
        for nudge in (-1e-9, 0.0, 1e-9):
            cosine = torch.tensor(
                math.cos(k * math.pi / margin) + nudge, dtype=torch.float64
            ).clamp(-1, 1)
            assert float(large_margin(cosine, margin)) == pytest.approx(1 - 2 * k, abs=1e-3)


@settings(deadline=None, max_examples=30)
@given(batches(), MARGINS)
def test_margin_1_and_a_large_softness_are_the_plain_softmax_and_a_margin_costs_more(batch, margin):
    expected = plain(*batch)
    assert float(large_margin_softmax(*batch, margin=1)) == pytest.approx(expected, rel=1e-9)
    assert float(large_margin_softmax(*batch, margin=1, softness=3.0)) == pytest.approx(
        expected, rel=1e-9
    )
    nearly = float(large_margin_softmax(*batch, margin=margin, softness=1e9))
    assert nearly == pytest.approx(expected, rel=1e-6, abs=1e-6)
    costs = [
        float(large_margin_softmax(*batch, margin=margin, softness=s)) for s in (1e9, 5.0, 1.0, 0.0)
    ]
    assert costs == sorted(costs) or max(costs) - min(costs) < 1e-6  # less softness, more margin


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31))
def test_rotation_and_order_of_samples_views_and_classes_change_nothing(batch, seed):
    h, weight, labels = batch
    source = torch.Generator().manual_seed(seed)
    width = h.shape[2]
    rotation, _ = torch.linalg.qr(torch.randn(width, width, generator=source, dtype=torch.float64))
    samples, views, classes = (
        torch.randperm(n, generator=source) for n in (len(labels), len(h), len(weight))
    )
    renamed = torch.where(labels < 0, labels, classes.argsort()[labels])
    before = float(large_margin_softmax(h, weight, labels, margin=3))
    moved = (h @ rotation)[views][:, samples], (weight @ rotation)[classes], renamed[samples]
    assert float(large_margin_softmax(*moved, margin=3)) == pytest.approx(
        before, rel=1e-9, abs=1e-12
    )


@settings(deadline=None, max_examples=20)
@given(batches(), MARGINS, st.sampled_from([0.0, 2.0]))
def test_the_gradient_is_that_of_finite_differences(batch, margin, softness):
    h, weight, labels = batch
    assert torch.autograd.gradcheck(
        lambda a, b: large_margin_softmax(a, b, labels, margin=margin, softness=softness),
        (h.requires_grad_(), weight.requires_grad_()),
    )


def test_an_unlabeled_sample_gets_no_gradient():
    h = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    large_margin_softmax(h, torch.eye(4), torch.tensor([0, -1, 3]), margin=2).backward()
    assert bool((h.grad[:, 1] == 0).all())
    assert bool((h.grad[:, [0, 2]] != 0).any(-1).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("margin", [1, 2, 4])
@pytest.mark.parametrize(
    "kind", ["random", "duplicates", "zeros", "at its weight", "opposite", "long", "one label"]
)
def test_loss_and_gradient_stay_finite(dtype, margin, kind):
    h = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 0, 1, 1, 2, -1])
    if kind == "duplicates":
        h[:, 1] = h[:, 0]
    elif kind == "zeros":
        h[:, 0], weight[1] = 0, 0
    elif kind in ("at its weight", "opposite"):
        weight[0] = torch.eye(8)[3]  # cosines of exactly 1 and -1
        h[:, 0] = weight[0] if kind == "at its weight" else -weight[0]
    elif kind == "long":
        h = 1000 * h
    elif kind == "one label":
        labels = torch.zeros_like(labels)
    h, weight = h.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()
    loss = large_margin_softmax(h, weight, labels, margin=margin)
    loss.backward()
    assert loss.dtype == torch.float32
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(h.grad).all()) and bool(torch.isfinite(weight.grad).all())


H, WEIGHT, LABELS = torch.ones(2, 4, 3), torch.ones(5, 3), torch.tensor([0, 1, 2, -1])
BROKEN = torch.ones(2, 4, 3).index_fill(2, torch.tensor([1]), math.nan)


@pytest.mark.parametrize(
    ("h", "weight", "labels", "changed", "message"),
    [
        (H[0], WEIGHT, LABELS, {}, "h: want"),
        (H, WEIGHT[0], LABELS, {}, "weight: want"),
        (H, WEIGHT[:, :2], LABELS, {}, "weight: want"),
        (H, WEIGHT, LABELS[:3], {}, "labels: want one for each of the 4"),
        (H, WEIGHT, LABELS.float(), {}, "labels: want integers"),
        (H, WEIGHT, torch.tensor([0, 1, 2, 5]), {}, "labels: want"),
        (H, WEIGHT, LABELS, {"margin": 0}, "margin: want"),
        (H, WEIGHT, LABELS, {"margin": 1.5}, "margin: want"),
        (H, WEIGHT, LABELS, {"softness": -1.0}, "softness: want"),
        (H, WEIGHT, LABELS, {"softness": math.nan}, "softness: want"),
        (H, WEIGHT, LABELS, {"softness": math.inf}, "softness: want"),
        (BROKEN, WEIGHT, LABELS, {}, "h: .*finite"),
        (H, BROKEN[0], LABELS, {}, "weight: .*finite"),
        (H, WEIGHT, torch.full((4,), -1), {}, "labels: want at least one label"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(h, weight, labels, changed, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(large_margin_softmax)(  # without the tests' own shape check
            h, weight, labels, **{"margin": 2, **changed}
        )
