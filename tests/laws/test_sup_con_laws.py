"""sup_con against its equations, and the laws that follow from them."""

import inspect
import math

import contrastive_transcriptions as known
import pytest
import torch
from contrastive_transcriptions import TEMPERATURES, batches
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import count_anchors_without_positive, info_nce, n_pairs, sup_con, triplet
from nearfar.losses.choices import Contrast, Denominator, Form

OPTIONS = {
    "form": st.sampled_from(Form.__args__),
    "contrast": st.sampled_from(Contrast.__args__),
    "denominator": st.sampled_from(Denominator.__args__),
}


def agrees(z, labels, temperature, **options) -> None:
    expected = known.sup_con(z, labels, temperature, **options)
    if expected == known.EXPECTED_NO_ANCHOR:
        with pytest.raises(ValueError, match="at least one sample with a positive"):
            sup_con(z, labels, temperature=temperature, **options)
        return
    assert float(sup_con(z, labels, temperature=temperature, **options)) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


@settings(deadline=None, max_examples=100)
@given(batches(), TEMPERATURES)
def test_it_is_equation_2(batch, temperature):
    agrees(*batch, temperature)


@settings(deadline=None, max_examples=150)
@given(batches(), TEMPERATURES, st.fixed_dictionaries(OPTIONS), st.none() | st.integers(0, 3))
def test_every_form_is_its_equation(batch, temperature, options, others):
    # with one view at least 1
    cap = None if others is None else max(others, 2 - len(batch[0])) * len(batch[0])
    agrees(*batch, temperature, **options, positives_cap=cap)


@st.composite
def queues(draw):
    labels = draw(st.lists(st.integers(-1, 3), min_size=1, max_size=6))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rows = torch.randn(len(labels), 5, generator=source, dtype=torch.float64)
    return {"queue": rows, "queue_labels": torch.tensor(labels)}


@settings(deadline=None, max_examples=100)
@given(batches(), TEMPERATURES, st.fixed_dictionaries(OPTIONS), queues())
def test_a_labeled_queue_joins_what_every_row_is_set_against(batch, temperature, options, queue):
    agrees(*batch, temperature, **options, **queue)


@settings(deadline=None, max_examples=20)
@given(batches(least_views=2), TEMPERATURES, queues())
def test_without_labels_a_queue_holds_negatives_alone(batch, temperature, queue):
    z, _ = batch
    nobody = {"queue": queue["queue"], "queue_labels": torch.full_like(queue["queue_labels"], -1)}
    loss = sup_con(z, torch.full((z.shape[1],), -1), temperature=temperature, **nobody)
    assert float(loss) == pytest.approx(
        float(info_nce(z, temperature=temperature, queue=queue["queue"])), rel=1e-9
    )


def test_a_queue_that_cannot_be_is_refused():
    z, labels = torch.randn(2, 3, 5), torch.arange(3)
    for wrong, message in [
        (
            {"queue": torch.randn(4, 6), "queue_labels": torch.zeros(4).long()},
            "queue: want .rows, 5.",
        ),
        ({"queue": torch.randn(4, 5)}, "rows and queue_labels together"),
        ({"queue_labels": torch.zeros(4).long()}, "rows and queue_labels together"),
        (
            {"queue": torch.randn(4, 5), "queue_labels": torch.zeros(3).long()},
            "queue_labels: want one for each",
        ),
        (
            {"queue": torch.randn(4, 5), "queue_labels": torch.zeros(4).long(), "positives_cap": 2},
            "positives_cap",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            inspect.unwrap(sup_con)(z, labels, temperature=0.1, **wrong)


@settings(deadline=None, max_examples=40)
@given(batches(), TEMPERATURES)
def test_the_sum_inside_the_logarithm_is_never_more(batch, temperature):
    z, labels = batch
    labels[:2] = 0  # a positive exists
    inside = sup_con(z, labels, temperature=temperature, form="inside")
    assert float(inside) <= float(sup_con(z, labels, temperature=temperature)) + 1e-12


@settings(deadline=None, max_examples=30)
@given(batches(least_views=2), TEMPERATURES)
def test_without_labels_it_is_nt_xent(batch, temperature):
    z, _ = batch
    nobody = torch.full((z.shape[1],), -1)
    expected = known.info_nce(z, temperature)
    assert float(sup_con(z, nobody, temperature=temperature)) == pytest.approx(expected, rel=1e-9)
    assert float(sup_con(z, torch.arange(z.shape[1]), temperature=temperature)) == pytest.approx(
        expected, rel=1e-9
    )


@settings(deadline=None, max_examples=40)
@given(batches(least_views=2), TEMPERATURES, st.fixed_dictionaries(OPTIONS), st.integers(0, 2**31))
def test_rotation_length_and_order_change_nothing(batch, temperature, options, seed):
    z, labels = batch
    labels[0], labels[1] = 0, 1  # a negative exists
    source = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=source, dtype=torch.float64))
    samples = torch.randperm(z.shape[1], generator=source)
    views = (
        torch.randperm(z.shape[0], generator=source)
        if options["contrast"] == "all_views"
        else range(len(z))
    )
    moved = (3.7 * z @ rotation)[views][:, samples]
    before = float(sup_con(z, labels, temperature=temperature, **options))
    after = float(sup_con(moved, labels[samples], temperature=temperature, **options))
    assert after == pytest.approx(before, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("form", Form.__args__)
def test_equal_projections_cost_log_of_the_others(temperature, form):
    labels = torch.tensor([0, 0, 1, 1, 2, -1])
    loss = sup_con(torch.ones(2, 6, 4), labels, temperature=temperature, form=form)
    assert float(loss) == pytest.approx(math.log(11), rel=1e-6)


def test_a_balanced_simplex_has_its_known_value():
    classes, rows_a_class, temperature = 4, 6, 0.3
    corners = torch.eye(classes, dtype=torch.float64) - 1 / classes
    labels = torch.arange(classes).repeat_interleave(rows_a_class // 2)
    z = corners[labels].expand(2, -1, -1)
    apart = math.exp(-classes / ((classes - 1) * temperature))
    value = math.log((rows_a_class - 1) + rows_a_class * (classes - 1) * apart)
    assert float(sup_con(z, labels, temperature=temperature)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("size", "tolerance"), [(1e-2, 0.05), (1e-4, 5e-4)])
def test_the_triplet_loss_is_its_limit_of_first_order(size, tolerance):
    """One positive p, one negative n: log(1 + exp((s_n - s_p) / t)), which where both are nearly as
    near is log 2 + (|a - p|² - |a - n|²) / 4t. (Khosla et al. expand its exponential alone: 1 +
    (...) / 2t, margin 2t.)
    """
    source = torch.Generator().manual_seed(0)
    t, labels = 0.5, torch.tensor([0, 0, 1])
    anchor = torch.randn(6, generator=source, dtype=torch.float64)
    z = (anchor + size * torch.randn(3, 6, generator=source, dtype=torch.float64))[
        None
    ].requires_grad_()
    loss, by_triplet = sup_con(z, labels, temperature=t), triplet(z, labels, margin=1.0) - 1.0
    assert float(loss.detach()) - math.log(2) == pytest.approx(
        float(by_triplet.detach()) / (4 * t), rel=tolerance
    )
    ours, theirs = (torch.autograd.grad(x, z)[0] for x in (loss, by_triplet / (4 * t)))
    assert float((ours - theirs).norm()) < tolerance * float(theirs.norm())


def test_n_pairs_is_its_case_of_one_view_and_one_positive_without_the_partners_of_the_rest():
    """Rows f and f+ of N classes, one view: against f+ of the others alone N-pair; sup_con adds f
    of the others.
    """
    source = torch.Generator().manual_seed(2)
    f, plus = (
        F.normalize(torch.randn(5, 4, generator=source, dtype=torch.float64), dim=1)
        for _ in range(2)
    )
    classes = torch.arange(5)
    paired = n_pairs(torch.stack([f, plus]), classes, form="pairs")
    to_own = (f * plus).sum(1)
    cross = (f @ plus.T).fill_diagonal_(-math.inf)
    assert float(paired) == pytest.approx(
        float((cross - to_own[:, None]).exp().sum(1).log1p().mean()), rel=1e-12
    )
    one_view = sup_con(torch.cat([f, plus])[None], classes.repeat(2), temperature=1.0)
    within = [(x @ x.T).fill_diagonal_(-math.inf) for x in (f, plus)]
    added = [
        (torch.cat([across, own], dim=1) - to_own[:, None]).exp().sum(1).log1p()
        for across, own in ((cross, within[0]), (cross.T, within[1]))
    ]
    assert float(one_view) == pytest.approx(float(torch.cat(added).mean()), rel=1e-12)
    assert float(one_view) > float(paired)


def test_cross_entropy_is_its_case_of_fixed_class_weights():
    """A row x against unit class weights: the anchor x of sup_con over [x, w_1 ... w_C] pays the
    cross-entropy.
    """
    source = torch.Generator().manual_seed(1)
    x, weights = (
        torch.randn(6, generator=source, dtype=torch.float64),
        torch.randn(4, 6, generator=source).double(),
    )
    unit, w = F.normalize(x, dim=0), F.normalize(weights, dim=1)
    for y in range(4):
        t = 0.2
        rows = torch.cat([x[None], weights])[None]
        labels = torch.tensor([y, 0, 1, 2, 3])
        anchors = 2 * float(sup_con(rows, labels, temperature=t))  # x and w_y have a positive
        others = torch.stack([unit, *(w[c] for c in range(4) if c != y)]) @ w[y] / t
        of_weight = float(others.logsumexp(0) - unit @ w[y] / t)
        cross_entropy = float(F.cross_entropy((w @ unit / t)[None], torch.tensor([y])))
        assert anchors - of_weight == pytest.approx(cross_entropy, rel=1e-12)
        queue = weights[[c for c in range(4) if c != y]]
        moco = info_nce(
            torch.stack([x, weights[y]])[:, None], temperature=t, negatives="queue", queue=queue
        )
        assert float(moco) == pytest.approx(cross_entropy, rel=1e-12)


def gradient_at_anchor(rows, labels, temperature):
    """Gradient of the first row's own term with respect to that (unit) row, all others held: eq. 4
    and 5.
    """
    share = torch.softmax(rows[1:] @ rows[0] / temperature, dim=0)
    positive = labels[1:] == labels[0]
    pull = torch.where(positive, share - 1 / positive.sum(), share)
    return (pull[:, None] * rows[1:]).sum(0) / temperature


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_the_closed_form_of_the_paper(seed):
    """The gradient at row 0 less what anchors 1 and 2 owe to it as their positive is that of its
    own term.
    """
    source = torch.Generator().manual_seed(seed)
    rows = F.normalize(torch.randn(7, 5, generator=source, dtype=torch.float64), dim=1)
    labels, t = torch.tensor([0, 0, 0, 1, 2, 3, 4]), 0.4
    x = rows[0].clone().requires_grad_()
    logits = rows @ rows.T / t
    # anchors 0, 1, 2
    whole = sup_con(torch.cat([x[None], rows[1:]])[None], labels, temperature=t) * 3
    mine = torch.autograd.grad(whole, x)[0]
    for i in (1, 2):  # what anchors 1 and 2 owe to row 0 as their positive
        others = torch.arange(7) != i
        share = torch.softmax(logits[i][others], 0)[0]
        mine = mine - (share - 0.5) * rows[i] / t
    known_gradient = gradient_at_anchor(rows, labels, t)
    # through the normalization
    known_gradient = known_gradient - (known_gradient @ rows[0]) * rows[0]
    mine = mine - (mine @ rows[0]) * rows[0]
    assert float((mine - known_gradient).norm() / known_gradient.norm()) < 1e-12


def pulls(positive_degrees: float, negative_degrees: float) -> list[float]:
    """Lengths of the gradients of a positive and of a negative that far from their anchor, on
    either side of it.
    """
    angles = torch.deg2rad(
        torch.tensor([0.0, positive_degrees, -negative_degrees], dtype=torch.float64)
    )
    rows = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    sup_con(rows[None], torch.tensor([0, 0, 1]), temperature=0.3).backward()
    return rows.grad.norm(dim=1)[1:].tolist()


def test_hard_positives_and_hard_negatives_get_the_larger_gradient():
    """Khosla et al., section 3: a far positive is pulled harder than a near one, a near negative
    pushed harder.
    """
    easy, hard = pulls(20, 60)[0], pulls(80, 60)[0]
    far, near = pulls(40, 85)[1], pulls(40, 25)[1]
    assert hard > 2 * easy
    assert near > 2 * far


@settings(deadline=None, max_examples=30)
@given(
    batches(least_views=2, most_samples=4), st.fixed_dictionaries(OPTIONS), st.none() | st.just(1)
)
def test_the_gradient_is_that_of_finite_differences(batch, options, others):
    z, labels = batch
    labels[0], labels[1] = 0, 1
    cap = None if others is None else others * len(z)
    assert torch.autograd.gradcheck(
        lambda x: sup_con(x, labels, temperature=0.5, positives_cap=cap, **options),
        z.requires_grad_(),
    )


def test_an_anchor_alone_in_its_class_is_left_out_and_counted():
    labels = torch.tensor([0, 0, 5, -1])
    assert int(count_anchors_without_positive(1, labels)) == 2
    assert int(count_anchors_without_positive(2, labels)) == 0
    agrees(
        torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64),
        labels,
        0.1,
    )
