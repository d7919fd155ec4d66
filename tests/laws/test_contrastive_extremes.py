"""sup_con and info_nce at the ends of what may come in, and what they refuse."""

import inspect
import math

import numpy as np
import pytest
import torch

from nearfar import losses
from nearfar.losses import info_nce, sup_con
from nearfar.losses.choices import Denominator, Form

KINDS = ("random", "duplicates", "one class", "all alone", "one sample", "a row of zeros")


def batch_of(kind: str):
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
    elif kind == "a row of zeros":
        z[1, 3] = 0
    return z, labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("denominator", Denominator.__args__)
@pytest.mark.parametrize("form", Form.__args__)
def test_loss_and_gradient_stay_finite_at_a_low_temperature(dtype, kind, denominator, form):
    z, labels = batch_of(kind)
    z = z.to(dtype).requires_grad_()
    if denominator == "only_negatives" and kind in ("one class", "one sample"):
        with pytest.raises(ValueError, match="a positive and a negative"):
            sup_con(z, labels, temperature=0.01, denominator=denominator, form=form)
        return
    loss = sup_con(z, labels, temperature=0.01, denominator=denominator, form=form)
    loss.backward()
    assert loss.dtype == torch.float32
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(z.grad).all())
    assert float(z.grad.abs().max()) < 1e4


@pytest.mark.parametrize("temperature", [0.01, 0.002])
@pytest.mark.parametrize("denominator", Denominator.__args__)
@pytest.mark.parametrize("form", Form.__args__)
def test_positives_that_are_all_far_away_cost_a_finite_number(form, denominator, temperature):
    """Dense: the positives of each row are its opposites. Tiled: random rows of few dimensions."""
    source = torch.Generator().manual_seed(0)
    opposed = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.01], [-1.0, 0.01]])[None]
    many = torch.randn(2, 300, 16, generator=source)
    for z, labels in (
        (opposed, torch.tensor([0, 0, 1, 1])),
        (many, torch.randint(-1, 6, (300,), generator=source)),
    ):
        values = []
        for rows in (z, z.double()):
            rows = rows.clone().requires_grad_()
            loss = losses.sup_con(
                rows, labels, temperature=temperature, form=form, denominator=denominator
            )
            loss.backward()
            assert bool(torch.isfinite(rows.grad).all())
            values.append(float(loss.detach()))
        assert values[0] == pytest.approx(values[1], rel=1e-4)
        assert math.isfinite(values[1])


@pytest.mark.parametrize("kind", KINDS)
def test_info_nce_stays_finite_at_a_low_temperature(kind):
    z = batch_of(kind)[0].requires_grad_()
    loss = info_nce(z, temperature=0.01, queue=z[0].detach())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(z.grad).all())


LABELS = torch.arange(300) % 7
EVERY_LOSS = {
    "sup_con": lambda z: losses.sup_con(z, LABELS, temperature=0.05),
    "info_nce": lambda z: losses.info_nce(z, temperature=0.05, queue=z[0]),
    "sigmoid": lambda z: losses.sigmoid(z, temperature=0.05, bias=-10.0),
    "n_pairs": lambda z: losses.n_pairs(z, LABELS, form="soft_labels", temperature=0.05),
    "margin_contrastive": lambda z: losses.margin_contrastive(z, LABELS),
    "triplet": lambda z: losses.triplet(z, LABELS),
    "negative_cosine": lambda z: losses.negative_cosine(z, z.flip(-1)),
    "swapped_prediction": lambda z: losses.swapped_prediction(z),
    "relation": lambda z: losses.relation(z[0, :, 0], (LABELS > 2).float()),
    "large_margin_softmax": lambda z: losses.large_margin_softmax(z, z[0, :7], LABELS, margin=2),
    "alignment": lambda z: losses.alignment(z),
    "uniformity": lambda z: losses.uniformity(z),
    "redundancy": lambda z: losses.redundancy(z),
    "variance_covariance": lambda z: losses.variance_covariance(z),
    "centered_prediction": lambda z: losses.centered_prediction(
        z, z, center=torch.zeros(z.shape[2])
    ),
    "counting": lambda z: losses.counting(z, z[None]),
    "color_prediction": lambda z: losses.color_prediction(
        z.repeat(1, 1, 20)[..., :313], 50 * z[..., :2].detach().float(), torch.ones(313)
    ),
}


def test_no_loss_is_missing_from_the_list():
    assert set(losses.__all__) - set(EVERY_LOSS) == {"count_anchors_without_positive", "sinkhorn"}


@pytest.mark.parametrize("name", list(EVERY_LOSS))
def test_under_autocast_a_loss_computes_in_float32(name):
    z = torch.randn(2, 300, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    plain = EVERY_LOSS[name](z)
    with torch.autocast("cpu", torch.bfloat16):
        covered = EVERY_LOSS[name](z)
    assert covered.dtype == torch.float32
    assert float(covered.detach()) == float(plain.detach())
    slopes = [torch.autograd.grad(loss, z)[0] for loss in (plain, covered)]
    assert torch.equal(*slopes)


@pytest.mark.parametrize("name", list(EVERY_LOSS))
def test_rows_in_bf16_are_computed_in_float32(name):
    z = torch.randn(2, 300, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    loss = EVERY_LOSS[name](z)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(EVERY_LOSS[name](z.float())), rel=1e-6)


@pytest.mark.parametrize("length", [1e-12, 1e-14, 1e-18, 1e-20, 1e-30, 1e-44, 0.0])
@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("name", list(EVERY_LOSS))
def test_rows_of_hardly_any_length_have_finite_gradients(name, some, length):
    z = torch.randn(2, 300, 16, generator=torch.Generator().manual_seed(0))
    z[:, : 7 if some else 300] *= length / 4  # about the length of 16 such numbers
    z.requires_grad_()
    loss = EVERY_LOSS[name](z)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(z.grad).all())


@pytest.mark.parametrize("length", [1e-3, 1e-12, 1e-17])
def test_a_short_row_has_the_gradient_of_a_unit_row_over_its_length(length):
    z = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(0))
    z /= z.norm(dim=-1, keepdim=True)
    slopes = []
    for scale in (1.0, length):
        x = (scale * z).requires_grad_()
        sup_con(x, LABELS[:30], temperature=0.1).backward()
        slopes.append(scale * x.grad)
    assert float((slopes[1] - slopes[0]).norm() / slopes[0].norm()) <= 1e-6


# `of` is what takes the tests' own shape check away, or nothing
TAKING_LABELS = {
    "sup_con": lambda of, z, y: of(sup_con)(z, y, temperature=0.1),
    "sup_con, queue_labels": lambda of, z, y: of(sup_con)(
        z, LABELS[:6], temperature=0.1, queue=z[0].detach(), queue_labels=y
    ),
    "n_pairs": lambda of, z, y: of(losses.n_pairs)(z, y, form="soft_labels"),
    "margin_contrastive": lambda of, z, y: of(losses.margin_contrastive)(z, y),
    "triplet": lambda of, z, y: of(losses.triplet)(z, y),
    "large_margin_softmax": lambda of, z, y: of(losses.large_margin_softmax)(z, z[0], y, margin=2),
    "count_anchors_without_positive": lambda of, _, y: of(losses.count_anchors_without_positive)(
        1, y
    ),
}


@pytest.mark.parametrize(
    "of_kind",
    [list, tuple, np.array, lambda y: np.array(y, dtype=np.uint16), np.int8, torch.IntTensor],
)
@pytest.mark.parametrize("name", list(TAKING_LABELS))
def test_labels_may_be_lists_arrays_or_tensors(name, of_kind):
    z, labels = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)), [0, 1, 0, 2, 1, 1]
    given = np.array(labels, dtype=np.int8) if of_kind is np.int8 else of_kind(labels)
    ours, known = (TAKING_LABELS[name](lambda f: f, z, y) for y in (given, torch.tensor(labels)))
    assert torch.equal(ours, known)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 0, 2, 1], r"labels: want one for each of the 6 samples, got shape \(5,\)"),
        (np.arange(7), r"labels: want one for each of the 6 samples, got shape \(7,\)"),
        (np.zeros((6, 1), dtype=int), r"labels: want one for each.*, got shape \(6, 1\)"),
        ([[0, 1, 0, 2, 1, 1]], r"labels: want one for each.*, got shape \(1, 6\)"),
        ([0.5, 1, 0, 2, 1, 1], "labels: want integers, got torch.float32"),
        ([True] * 6, "labels: want integers, got torch.bool"),
        ([[0], [1, 2]], "labels: want integers, one for each sample, got"),
        (["cat"] * 6, "labels: want integers, one for each sample, got"),
        (np.array(["cat"] * 6), "labels: want integers, one for each sample, got"),
        (None, "labels: want integers, one for each sample, got None"),
    ],
)
@pytest.mark.parametrize("name", list(TAKING_LABELS))
def test_labels_that_are_none_are_refused_by_name(name, labels, message):
    z = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    if name == "count_anchors_without_positive":
        if labels is not None and len(labels) in (5, 7):
            return  # it takes any number
        message = message.replace(" of the 6 samples", " sample")
    if name == "sup_con, queue_labels":
        message = message.replace("labels:", "queue_labels:")
        if labels is None:
            message = "queue: want rows and queue_labels together, got one"
    with pytest.raises(ValueError, match=message):
        TAKING_LABELS[name](inspect.unwrap, z, labels)


FLOATS = torch.zeros(2, 4, 3)
WHOLE = torch.zeros(4, dtype=torch.int64)
SPOILT = torch.ones(2, 4, 3)
SPOILT[1, 2, 0] = math.nan


@pytest.mark.parametrize(
    ("z", "labels", "options", "message"),
    [
        (torch.zeros(4, 3), WHOLE, {}, r"z: want \(views, samples, width\), got shape \(4, 3\)"),
        (torch.zeros(2, 0, 3), WHOLE[:0], {}, "z: want at least one view, sample and dimension"),
        (FLOATS.long(), WHOLE, {}, "z: want floating-point numbers, got torch.int64"),
        (FLOATS, torch.zeros(5, dtype=torch.int64), {}, "labels: want one for each of the 4"),
        (FLOATS, torch.zeros(4), {}, "labels: want integers, got torch.float32"),
        (FLOATS, torch.zeros(4, dtype=torch.bool), {}, "labels: want integers, got torch.bool"),
        (FLOATS, WHOLE, {"temperature": 0.0}, "temperature: want more than 0, got 0.0"),
        (FLOATS, WHOLE, {"temperature": math.nan}, "temperature: want more than 0, got nan"),
        (FLOATS, WHOLE, {"form": "in"}, "form: want one of outside, inside, got 'in'"),
        (FLOATS, WHOLE, {"contrast": "two"}, "contrast: want one of"),
        (FLOATS, WHOLE, {"denominator": "none"}, "denominator: want one of"),
        (
            FLOATS,
            WHOLE,
            {"positives_cap": 3},
            r"positives_cap: want a multiple of the 2 view\(s\), got 3",
        ),
        (
            FLOATS,
            WHOLE,
            {"positives_cap": 2.0},
            "positives_cap: want a whole number from 0, got 2.0",
        ),
        (
            FLOATS[:1],
            WHOLE,
            {"positives_cap": 0},
            "positives_cap: want a whole number from 1, got 0",
        ),
        (
            SPOILT,
            WHOLE,
            {},
            r"z: want finite numbers, got NaN.* in 1 row\(s\), the first at view 1, sample 2",
        ),
        (FLOATS[:1], torch.full((4,), -1), {}, "at least one sample with a positive, got none"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(z, labels, options, message):
    with pytest.raises(ValueError, match=message):
        # without the tests' own shape check
        inspect.unwrap(sup_con)(z, labels, **{"temperature": 0.1, **options})


@pytest.mark.parametrize(
    ("z", "options", "message"),
    [
        (FLOATS[:1], {}, "z: want at least 2 views, got 1: no positive can exist"),
        (FLOATS, {"negatives": "rows"}, "negatives: want one of"),
        (
            FLOATS,
            {"negatives": "queue"},
            'queue: want rows .n, 3. with negatives="queue", got none',
        ),
        (FLOATS, {"negatives": "queue", "queue": torch.zeros(0, 3)}, "queue: want rows"),
        (FLOATS, {"temperature": None}, "temperature: want a number, got None"),
        (FLOATS, {"temperature": 1e-39}, "temperature: want more than 0"),
        (FLOATS, {"queue": torch.zeros(5, 4)}, r"queue: want \(rows, 3\), got shape \(5, 4\)"),
        (FLOATS, {"queue": torch.full((5, 3), math.inf)}, "queue: want finite numbers"),
    ],
)
def test_what_info_nce_cannot_compute_is_refused_by_name(z, options, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(info_nce)(z, **{"temperature": 0.1, **options})
