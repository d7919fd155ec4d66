"""The contrastive losses against slow float64 transcriptions of their equations, and their laws."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import count_anchors_without_positive, info_nce, sup_con

TEMPERATURES = st.floats(0.05, 2.0)


def transcription_of_sup_con(z, labels, temperature):
    """Khosla et al. 2020, eq. 2, term by term: the mean over anchors that have a positive."""
    views, batch, _ = z.shape
    rows = [F.normalize(z[v, b].double(), dim=0) for v in range(views) for b in range(batch)]
    owner = [b for _ in range(views) for b in range(batch)]
    y = [int(labels[b]) if labels[b] >= 0 else -1 - b for b in owner]
    terms = []
    for i, anchor in enumerate(rows):
        others = [a for a in range(len(rows)) if a != i]
        positives = [p for p in others if y[p] == y[i]]
        if not positives:
            continue
        whole = sum(math.exp(float(anchor @ rows[a]) / temperature) for a in others)
        logs = [math.log(math.exp(float(anchor @ rows[p]) / temperature) / whole) for p in positives]
        terms.append(-sum(logs) / len(positives))
    return sum(terms) / len(terms)


@st.composite
def batches(draw, least_views=1):
    views, batch = draw(st.integers(least_views, 3)), draw(st.integers(2, 7))
    seed = draw(st.integers(0, 2**31))
    labels = draw(st.lists(st.integers(-1, 3), min_size=batch, max_size=batch))
    z = torch.randn(views, batch, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return z, torch.tensor(labels)


@settings(deadline=None, max_examples=60)
@given(batches(), TEMPERATURES)
def test_sup_con_is_equation_2(batch, temperature):
    z, labels = batch
    if len(z) == 1 and count_anchors_without_positive(1, labels) == len(labels):
        with pytest.raises(ValueError, match="at least one sample with a positive"):
            sup_con(z, labels, temperature=temperature)
        return
    ours = float(sup_con(z, labels, temperature=temperature))
    assert ours == pytest.approx(transcription_of_sup_con(z, labels, temperature), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches(least_views=2), TEMPERATURES)
def test_without_labels_sup_con_is_nt_xent(batch, temperature):
    z, _ = batch
    nobody = torch.full((z.shape[1],), -1)
    expected = transcription_of_sup_con(z, torch.arange(z.shape[1]), temperature)
    assert float(info_nce(z, temperature=temperature)) == pytest.approx(expected, rel=1e-9)
    assert float(sup_con(z, nobody, temperature=temperature)) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches(least_views=2), TEMPERATURES, st.integers(0, 2**31))
def test_rotation_scale_and_order_of_samples_and_views_change_nothing(batch, temperature, seed):
    z, labels = batch
    source = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=source, dtype=torch.float64))
    samples = torch.randperm(z.shape[1], generator=source)
    views = torch.randperm(z.shape[0], generator=source)
    moved = (3.7 * z @ rotation)[views][:, samples]
    before = float(sup_con(z, labels, temperature=temperature))
    assert float(sup_con(moved, labels[samples], temperature=temperature)) == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_equal_projections_cost_log_of_the_others(temperature):
    z = torch.ones(2, 6, 4)
    labels = torch.tensor([0, 0, 1, 1, 2, -1])
    assert float(sup_con(z, labels, temperature=temperature)) == pytest.approx(math.log(11), rel=1e-6)


def test_a_balanced_simplex_has_its_known_value():
    classes, rows_a_class, temperature = 4, 6, 0.3
    corners = torch.eye(classes, dtype=torch.float64) - 1 / classes
    labels = torch.arange(classes).repeat_interleave(rows_a_class // 2)
    z = corners[labels].expand(2, -1, -1)
    apart = math.exp(-classes / ((classes - 1) * temperature))
    known = math.log((rows_a_class - 1) + rows_a_class * (classes - 1) * apart)
    assert float(sup_con(z, labels, temperature=temperature)) == pytest.approx(known, rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(batches(least_views=2))
def test_the_gradient_is_that_of_finite_differences(batch):
    z, labels = batch
    z = z.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sup_con(x, labels, temperature=0.5), z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["random", "duplicates", "one class", "all alone", "one sample"])
def test_loss_and_gradient_stay_finite_at_a_low_temperature(dtype, kind):
    z = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    if kind == "duplicates":
        z[:, 1] = z[:, 0]
    elif kind == "one class":
        labels = torch.zeros(8, dtype=torch.int64)
    elif kind == "all alone":
        labels = torch.arange(8)
    elif kind == "one sample":
        z, labels = z[:, :1], labels[:1]
    z = z.to(dtype).requires_grad_()
    loss = sup_con(z, labels, temperature=0.01)
    loss.backward()
    assert loss.dtype == torch.float32
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(z.grad).all())


def test_an_anchor_alone_in_its_class_is_left_out_and_counted():
    z = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.tensor([0, 0, 5, -1])
    assert int(count_anchors_without_positive(1, labels)) == 2
    assert int(count_anchors_without_positive(2, labels)) == 0
    expected = transcription_of_sup_con(z, labels, 0.1)
    assert float(sup_con(z, labels, temperature=0.1)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("z", "labels", "temperature", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), 0.1, "z: want"),
        (torch.zeros(2, 4, 3), torch.zeros(5, dtype=torch.int64), 0.1, "labels: want one for each of the 4"),
        (torch.zeros(2, 4, 3), torch.zeros(4), 0.1, "labels: want integers"),
        (torch.zeros(2, 4, 3), torch.zeros(4, dtype=torch.int64), 0.0, "temperature: want more than 0"),
        (torch.zeros(1, 4, 3), torch.full((4,), -1), 0.1, "at least one sample with a positive"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(z, labels, temperature, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(sup_con)(  # without the tests' own shape check
            z, labels, temperature=temperature)
