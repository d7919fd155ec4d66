"""Sinkhorn's assignments and swapped prediction against slow float64 transcriptions, and their
laws.
"""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nearfar.losses import centered_prediction, sinkhorn, swapped_prediction

ROUNDS = st.integers(1, 5)
EPSILONS = st.floats(0.03, 1.0)


def transcription_of_sinkhorn(scores, epsilon, rounds):
    """SwAV: Q = exp(S / ε), then in turn each prototype to 1/K and each sample to 1/B; times B."""
    samples, prototypes = len(scores), len(scores[0])
    q = [[math.exp(s / epsilon) for s in row] for row in scores]
    for _ in range(rounds):
        for k in range(prototypes):
            whole = sum(row[k] for row in q)
            for row in q:
                row[k] /= whole * prototypes
        for row in q:
            whole = sum(row)
            row[:] = [x / whole / samples for x in row]
    return [[x * samples for x in row] for row in q]


def transcription_of_swapped_prediction(
    scores, temperature, epsilon, rounds, assigning_views, queue
):
    """Caron et al. 2020, eq. 1-2: the mean of -sum_k q_v log softmax(scores_w / t), v assigning, w
    != v.
    """
    views = scores.tolist()
    terms = []
    for v in range(assigning_views or len(views)):
        earlier = [] if queue is None else queue[v].tolist()
        q = transcription_of_sinkhorn(views[v] + earlier, epsilon, rounds)
        for w in range(len(views)):
            if w == v:
                continue
            for b, row in enumerate(views[w]):
                whole = math.log(sum(math.exp(s / temperature) for s in row))
                terms.append(-sum(q[b][k] * (s / temperature - whole) for k, s in enumerate(row)))
    return sum(terms) / len(terms)


def cosines(shape, seed):
    return (
        2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        - 1
    )


@st.composite
def batches(draw):
    """Scores, and a queue or none with the number of assigning views."""
    views, samples, prototypes = (
        draw(st.integers(2, 4)),
        draw(st.integers(1, 6)),
        draw(st.integers(2, 5)),
    )
    seed = draw(st.integers(0, 2**31))
    assigning = draw(st.one_of(st.none(), st.integers(1, views)))
    earlier = draw(st.integers(0, 5))
    queue = cosines((assigning or views, earlier, prototypes), seed + 1) if earlier else None
    return cosines((views, samples, prototypes), seed), assigning, queue


@settings(deadline=None, max_examples=60)
@given(batches(), EPSILONS, ROUNDS)
def test_sinkhorn_is_that_of_swav(batch, epsilon, rounds):
    scores = batch[0][0]
    expected = torch.tensor(
        transcription_of_sinkhorn(scores.tolist(), epsilon, rounds), dtype=torch.float64
    )
    ours = sinkhorn(scores, epsilon=epsilon, rounds=rounds)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-15)


@settings(deadline=None, max_examples=60)
@given(batches(), st.floats(0.05, 2.0), EPSILONS, ROUNDS)
def test_swapped_prediction_is_equations_1_and_2(batch, temperature, epsilon, rounds):
    scores, assigning, queue = batch
    options = {"temperature": temperature, "epsilon": epsilon, "rounds": rounds}
    options |= {"assigning_views": assigning, "queue": queue}
    expected = transcription_of_swapped_prediction(scores, **options)
    assert float(swapped_prediction(scores, **options)) == pytest.approx(expected, rel=1e-9)


def test_the_defaults_are_those_of_the_paper():
    scores = cosines((2, 5, 4), 0)
    assert swapped_prediction(scores) == swapped_prediction(
        scores, temperature=0.1, epsilon=0.05, rounds=3
    )


@pytest.mark.parametrize(("samples", "prototypes"), [(256, 16), (512, 64), (1024, 128)])
def test_samples_sum_to_1_and_prototypes_to_their_share_within_2_percent(samples, prototypes):
    """Random unit rows of width 128 and three rounds at ε = .05, as in SwAV."""
    source = torch.Generator().manual_seed(0)
    rows, centers = (
        F.normalize(torch.randn(n, 128, generator=source), dim=-1) for n in (samples, prototypes)
    )
    q = sinkhorn(rows @ centers.T, epsilon=0.05, rounds=3)
    torch.testing.assert_close(q.sum(1), torch.ones(samples), rtol=0, atol=1e-5)
    share = q.sum(0) * prototypes / samples
    assert float((share - 1).abs().max()) < 0.02
    assert bool((q >= 0).all())


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31), st.floats(-50, 50))
def test_order_and_constants_change_no_assignment(batch, seed, constant):
    scores = batch[0][0]
    source = torch.Generator().manual_seed(seed)
    samples, prototypes = (torch.randperm(n, generator=source) for n in scores.shape)
    before = sinkhorn(scores, epsilon=0.1, rounds=3)
    moved = sinkhorn(scores[samples][:, prototypes] + constant, epsilon=0.1, rounds=3)
    torch.testing.assert_close(moved, before[samples][:, prototypes], rtol=1e-9, atol=1e-12)


def test_more_rounds_balance_better_and_many_balance_fully():
    scores = cosines((12, 4), 3)
    off = [
        float((sinkhorn(scores, epsilon=0.1, rounds=r).sum(0) - 3).abs().max())
        for r in (1, 3, 10, 500)
    ]
    assert off == sorted(off, reverse=True)
    assert off[-1] < 1e-6


@pytest.mark.parametrize("prototypes", [2, 7])
def test_equal_scores_are_assigned_equally_and_cost_log_k(prototypes):
    scores = torch.full((3, 5, prototypes), 0.3, dtype=torch.float64)
    shares = sinkhorn(scores[0], epsilon=0.05, rounds=3)
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / prototypes))
    assert float(swapped_prediction(scores)) == pytest.approx(math.log(prototypes), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31))
def test_order_of_samples_prototypes_and_views_changes_nothing(batch, seed):
    scores, source = batch[0], torch.Generator().manual_seed(seed)
    views, samples, prototypes = (torch.randperm(n, generator=source) for n in scores.shape)
    moved = scores[views][:, samples][:, :, prototypes]
    assert float(swapped_prediction(moved)) == pytest.approx(
        float(swapped_prediction(scores)), rel=1e-9
    )


@settings(deadline=None, max_examples=20)
@given(batches())
def test_the_gradient_takes_the_assignments_as_given(batch):
    scores, assigning, queue = batch
    large = assigning or len(scores)
    q = []
    for v in range(large):
        joined = scores[v] if queue is None else torch.cat([scores[v], queue[v]])
        q.append(sinkhorn(joined, epsilon=0.05, rounds=3)[: scores.shape[1]])

    def with_fixed_assignments(x):
        pairs = [(v, w) for v in range(large) for w in range(len(x)) if w != v]
        return -sum((q[v] * F.log_softmax(x[w] / 0.5, -1)).sum(-1).mean() for v, w in pairs) / len(
            pairs
        )

    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    queue = None if queue is None else queue.requires_grad_()
    swapped_prediction(ours, temperature=0.5, assigning_views=assigning, queue=queue).backward()
    with_fixed_assignments(theirs).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)
    assert torch.autograd.gradcheck(with_fixed_assignments, theirs)
    assert queue is None or queue.grad is None
    assert not sinkhorn(theirs[0], epsilon=0.05, rounds=3).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["random", "duplicates", "zeros", "huge", "one sample"])
def test_assignments_loss_and_gradient_stay_finite(dtype, kind):
    scores = cosines((3, 8, 5), 0).float()
    if kind == "duplicates":
        scores[:, 1:4] = scores[:, :1]
    elif kind == "zeros":
        scores[:, 0] = 0
    elif kind == "huge":
        scores = 1e4 * scores
    elif kind == "one sample":
        scores = scores[:, :1]
    scores = scores.to(dtype).requires_grad_()
    q = sinkhorn(scores[0], epsilon=0.05, rounds=3)
    torch.testing.assert_close(q.sum(1), torch.ones(len(q)), rtol=0, atol=1e-5)
    loss = swapped_prediction(scores)
    loss.backward()
    assert loss.dtype == q.dtype == torch.float32
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(scores.grad).all())


SCORES = torch.zeros(3, 4, 5)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (SCORES[0], {}, "scores: want"),
        (SCORES[:1], {}, "scores: want"),
        (SCORES, {"temperature": 0.0}, "temperature: want more than 0"),
        (SCORES, {"epsilon": -0.1}, "epsilon: want more than 0"),
        (SCORES, {"rounds": 0}, "rounds: want a whole number from 1"),
        (SCORES, {"assigning_views": 4}, "assigning_views: want"),
        (SCORES, {"assigning_views": 0}, "assigning_views: want"),
        (SCORES, {"queue": SCORES[:2]}, "queue: want"),
        (SCORES, {"queue": SCORES[:, :, :4]}, "queue: want"),
        (SCORES, {"queue": SCORES[0]}, "queue: want"),
        (SCORES, {"queue": SCORES, "assigning_views": 2}, "queue: want"),
        (SCORES * math.nan, {}, "scores: .*finite"),
        (SCORES, {"queue": SCORES * math.nan}, "queue: .*finite"),
    ],
)
def test_swapped_prediction_refuses_what_it_cannot_compute_by_name(scores, options, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(swapped_prediction)(scores, **options)  # without the tests' own shape check


@pytest.mark.parametrize(
    ("scores", "changed", "message"),
    [
        (SCORES, {}, "scores: want"),
        (SCORES[0, :0], {}, "scores: want"),
        (SCORES[0] * math.nan, {}, "scores: .*finite"),
        (SCORES[0], {"epsilon": -0.1}, "epsilon: want more than 0"),
        (SCORES[0], {"rounds": 0}, "rounds: want a whole number from 1"),
    ],
)
def test_sinkhorn_refuses_what_it_cannot_compute_by_name(scores, changed, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(sinkhorn)(scores, **{"epsilon": 0.05, "rounds": 3, **changed})


def transcription_of_centered_prediction(
    scores, target_scores, center, temperature, target_temperature
):
    """Caron et al. 2021, eq. 1 to 3: the mean of -sum_k softmax((target_v - c) / t_t) log
    softmax(scores_w / t).
    """
    terms = []
    for v, target_view in enumerate(target_scores.tolist()):
        for w, view in enumerate(scores.tolist()):
            for target_row, row in zip(target_view, view, strict=True):
                if v != w:
                    sharp = [
                        (s - c) / target_temperature
                        for s, c in zip(target_row, center.tolist(), strict=True)
                    ]
                    whole = sum(math.exp(s) for s in sharp)
                    below = math.log(sum(math.exp(s / temperature) for s in row))
                    shares = [math.exp(a) / whole for a in sharp]
                    terms.append(
                        -sum(
                            q * (s / temperature - below) for q, s in zip(shares, row, strict=True)
                        )
                    )
    return sum(terms) / len(terms)


@settings(deadline=None, max_examples=60)
@given(batches(), st.floats(0.05, 1.0), st.floats(0.04, 1.0), st.integers(0, 2**31))
def test_centered_prediction_is_equations_1_to_3(batch, temperature, target_temperature, seed):
    scores = batch[0]
    assigning = 1 + seed % len(scores)
    target, center = (
        cosines((assigning, *scores.shape[1:]), seed),
        cosines(scores.shape[2:], seed + 1),
    )
    loss = centered_prediction(
        scores,
        target,
        center=center,
        temperature=temperature,
        target_temperature=target_temperature,
    )
    expected = transcription_of_centered_prediction(
        scores, target, center, temperature, target_temperature
    )
    assert float(loss) == pytest.approx(expected, rel=1e-9)


def test_a_target_that_tells_nothing_apart_costs_log_of_the_prototypes_and_gets_no_gradient():
    scores, target = (
        torch.zeros(2, 3, 7, requires_grad=True),
        torch.ones(2, 3, 7, requires_grad=True),
    )
    loss = centered_prediction(scores, target, center=torch.zeros(7))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(7), rel=1e-6)
    assert target.grad is None


def test_what_every_target_prefers_is_taken_away_by_the_center():
    target = cosines((2, 5, 4), 0)
    scores = cosines((2, 5, 4), 1)
    alike = torch.tensor([5.0, 0, 0, 0], dtype=torch.float64)
    with_center = centered_prediction(scores, target + alike, center=alike)
    assert float(with_center) == pytest.approx(
        float(centered_prediction(scores, target, center=0 * alike)), rel=1e-12
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target_scores": torch.zeros(3, 3, 4)}, "target_scores: want shape"),
        ({"target_scores": torch.zeros(1, 2, 4)}, "target_scores: want shape"),
        ({"center": torch.zeros(5)}, "center: want .4,."),
        ({"target_temperature": 0.0}, "target_temperature"),
        ({"scores": torch.zeros(1, 3, 4)}, "at least 2 views"),
        ({"scores": torch.full((2, 3, 4), torch.nan)}, "scores: want finite"),
        ({"target_scores": torch.full((2, 3, 4), torch.inf)}, "target_scores: want finite"),
    ],
)
def test_centered_prediction_refuses_what_cannot_be(changed, message):
    given_ = {
        "scores": torch.zeros(2, 3, 4),
        "target_scores": torch.zeros(2, 3, 4),
        "center": torch.zeros(4),
    } | changed
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(centered_prediction)(
            given_.pop("scores"), given_.pop("target_scores"), **given_
        )
