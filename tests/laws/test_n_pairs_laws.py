"""Both N-pair losses against slow float64 transcriptions of their equations, and their laws."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import info_nce, n_pairs

TEMPERATURES = st.floats(0.1, 2.0)


def classes_of(labels):
    return [int(y) if y >= 0 else -1 - b for b, y in enumerate(labels)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def transcription_of_pairs(z, labels, temperature, length_weight):
    """Sohn 2016: mean of log(1 + sum over pairs of other classes of exp(f_i.f+_j - f_i.f+_i)), plus
    mean |row|².
    """
    f, f_plus = z.tolist()
    y = classes_of(labels)
    terms = []
    for i, anchor in enumerate(f):
        whole = 1.0
        for j, other in enumerate(f_plus):
            if y[j] != y[i]:
                whole += math.exp((dot(anchor, other) - dot(anchor, f_plus[i])) / temperature)
        terms.append(math.log(whole))
    lengths = [dot(row, row) for row in f + f_plus]
    return sum(terms) / len(terms) + length_weight * sum(lengths) / len(lengths)


def transcription_of_soft_labels(z, labels, temperature):
    """tensorflow-addons' npairs_loss on G = z z^T / t: -sum_j q_ij log softmax_j(G_i), q_ij = [y_i
    = y_j] / n_i.
    """
    rows = [row for view in z.tolist() for row in view]
    y = classes_of(labels) * len(z)
    terms = []
    for i, anchor in enumerate(rows):
        logits = [dot(anchor, other) / temperature for other in rows]
        whole = math.log(sum(math.exp(x - max(logits)) for x in logits)) + max(logits)
        same = [j for j in range(len(rows)) if y[j] == y[i]]
        terms.append(-sum(logits[j] - whole for j in same) / len(same))
    return sum(terms) / len(terms)


@st.composite
def batches(draw, views=(1, 3)):
    shape = draw(st.integers(*views)), draw(st.integers(2, 7)), draw(st.integers(2, 5))
    seed = draw(st.integers(0, 2**31))
    labels = torch.tensor(draw(st.lists(st.integers(-1, 3), min_size=shape[1], max_size=shape[1])))
    labels[0], labels[1] = 7, -1  # never one class alone
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ), labels


@settings(deadline=None, max_examples=60)
@given(batches(views=(2, 2)), TEMPERATURES, st.booleans(), st.sampled_from([0.0, 0.02]))
def test_pairs_is_the_loss_of_sohn(batch, temperature, normalize, length_weight):
    z, labels = batch
    length_weight = 0.0 if normalize else length_weight
    options = {"temperature": temperature, "normalize": normalize, "length_weight": length_weight}
    ours = float(n_pairs(z, labels, form="pairs", **options))
    z = F.normalize(z, dim=-1) if normalize else z
    assert ours == pytest.approx(
        transcription_of_pairs(z, labels, temperature, length_weight), rel=1e-9
    )


@settings(deadline=None, max_examples=60)
@given(batches(), TEMPERATURES, st.booleans())
def test_soft_labels_is_npairs_loss_with_the_diagonal_kept(batch, temperature, normalize):
    z, labels = batch
    ours = float(
        n_pairs(z, labels, form="soft_labels", temperature=temperature, normalize=normalize)
    )
    z = F.normalize(z, dim=-1) if normalize else z
    assert ours == pytest.approx(transcription_of_soft_labels(z, labels, temperature), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches(views=(2, 2)))
def test_pairs_leaves_rows_as_they_are_and_soft_labels_does_not_unless_told(batch):
    z, labels = batch
    for form, usual in (("pairs", False), ("soft_labels", True)):
        assert n_pairs(z, labels, form=form) == n_pairs(z, labels, form=form, normalize=usual)
    assert n_pairs(3 * z, labels, form="soft_labels") == pytest.approx(
        float(n_pairs(z, labels, form="soft_labels"))
    )


@settings(deadline=None, max_examples=30)
@given(batches(), TEMPERATURES)
def test_soft_labels_is_at_least_log_of_the_rows_of_a_class(batch, temperature):
    z, labels = batch
    y = classes_of(labels)
    floor = sum(math.log(y.count(own) * len(z)) for own in y) / len(y)
    assert float(n_pairs(z, labels, form="soft_labels", temperature=temperature)) >= floor - 1e-12


@settings(deadline=None, max_examples=30)
@given(batches(views=(1, 1)), TEMPERATURES)
def test_a_row_alone_in_its_class_is_purely_pushed_away(batch, temperature):
    z, labels = batch
    unit = F.normalize(z[0], dim=-1)
    others = ~torch.eye(len(labels), dtype=torch.bool)
    terms = [
        torch.log1p(torch.exp((unit[i] @ unit[others[i]].T - 1) / temperature).sum())
        for i in range(len(unit))
    ]
    ours = n_pairs(z, torch.full_like(labels, -1), form="soft_labels", temperature=temperature)
    assert float(ours) == pytest.approx(float(sum(terms)) / len(terms), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches(views=(2, 2)))
def test_normalized_pairs_of_distinct_classes_are_info_nce_in_one_direction(batch):
    z, labels = batch
    distinct = torch.arange(len(labels))
    there = n_pairs(z, distinct, form="pairs", normalize=True)
    back = n_pairs(z.flip(0), distinct, form="pairs", normalize=True)
    logits = F.normalize(z[0], dim=-1) @ F.normalize(z[1], dim=-1).T
    assert float(there) == pytest.approx(float(F.cross_entropy(logits, distinct)), rel=1e-9)
    both = info_nce(z, temperature=1.0, negatives="other_view")
    assert float(there + back) / 2 == pytest.approx(float(both), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31))
def test_rotation_and_order_change_nothing(batch, seed):
    z, labels = batch
    source = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(
        torch.randn(z.shape[2], z.shape[2], generator=source, dtype=torch.float64)
    )
    samples, views = (
        torch.randperm(len(labels), generator=source),
        torch.randperm(len(z), generator=source),
    )
    turned = (z @ rotation)[:, samples]
    before = float(n_pairs(z, labels, form="soft_labels"))
    assert float(n_pairs(turned[views], labels[samples], form="soft_labels")) == pytest.approx(
        before, rel=1e-9
    )
    if len(z) == 2:
        before = float(n_pairs(z, labels, form="pairs"))
        assert float(n_pairs(turned, labels[samples], form="pairs")) == pytest.approx(
            before, rel=1e-9
        )


@settings(deadline=None, max_examples=15)
@given(batches(views=(2, 2)), st.sampled_from(["pairs", "soft_labels"]))
def test_the_gradient_is_that_of_finite_differences(batch, form):
    z, labels = batch
    assert torch.autograd.gradcheck(
        lambda x: n_pairs(x, labels, form=form, length_weight=0.1 if form == "pairs" else 0.0),
        z.requires_grad_(),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", ["pairs", "soft_labels"])
@pytest.mark.parametrize("kind", ["random", "duplicates", "zeros", "one class", "long rows"])
def test_loss_and_gradient_stay_finite_at_a_low_temperature(dtype, form, kind):
    z = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, -1])
    if kind == "duplicates":
        z[:, 2] = z[:, 0]
    elif kind == "zeros":
        z[0, 0] = 0
    elif kind == "one class" and form == "soft_labels":
        labels = torch.zeros_like(labels)
    elif kind == "long rows":
        z = 100 * z
    z = z.to(dtype).requires_grad_()
    loss = n_pairs(z, labels, form=form, temperature=0.01)
    loss.backward()
    assert loss.dtype == torch.float32
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(z.grad).all())


LABELS = torch.tensor([0, 1, 2, 3])
BROKEN = torch.ones(2, 4, 3).index_fill(2, torch.tensor([1]), math.inf)


@pytest.mark.parametrize(
    ("z", "labels", "changed", "message"),
    [
        (torch.ones(4, 3), LABELS, {}, "z: want"),
        (torch.ones(2, 4, 3), LABELS[:3], {}, "labels: want one for each of the 4"),
        (torch.ones(2, 4, 3), LABELS.float(), {}, "labels: want integers"),
        (torch.ones(3, 4, 3), LABELS, {}, "z: want 2 views"),
        (torch.ones(1, 4, 3), LABELS, {}, "z: want 2 views"),
        (torch.ones(2, 4, 3), LABELS, {"temperature": 0.0}, "temperature: want more than 0"),
        (torch.ones(2, 4, 3), LABELS, {"form": "triplets"}, "form: want"),
        (torch.ones(2, 4, 3), LABELS, {"length_weight": -1.0}, "length_weight: want at least 0"),
        (
            torch.ones(2, 4, 3),
            LABELS,
            {"length_weight": math.nan},
            "length_weight: want at least 0",
        ),
        (
            torch.ones(2, 4, 3),
            LABELS,
            {"length_weight": 0.1, "form": "soft_labels"},
            "length_weight: want 0",
        ),
        (
            torch.ones(2, 4, 3),
            LABELS,
            {"length_weight": 0.1, "normalize": True},
            "length_weight: want 0 with normalize=True .*, got 0.1",
        ),
        (BROKEN, LABELS, {}, "z: .*finite"),
        (BROKEN, LABELS, {"form": "soft_labels"}, "z: .*finite"),
        # nobody to be told from
        (torch.ones(2, 4, 3), torch.zeros(4, dtype=torch.int64), {}, "two classes"),
        (torch.ones(1, 1, 3), LABELS[:1], {"form": "soft_labels"}, "z: want at least two rows"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(z, labels, changed, message):
    with pytest.raises(ValueError, match=message):
        # without the tests' own shape check
        inspect.unwrap(n_pairs)(z, labels, **{"form": "pairs", **changed})
