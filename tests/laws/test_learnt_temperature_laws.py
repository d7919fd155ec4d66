"""The gradient of a learnt temperature, by autograd on dense transcriptions in float64."""

import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nearfar import losses
from nearfar.losses import tiled
from nearfar.losses.choices import Contrast, Denominator, Form, Negatives
from nearfar.losses.tiled import cpu

PATHS = {"dense": 10**9, "tiled": 0}
LABELS = torch.tensor([0, 1, 0, 2, -1, 1, 2, 0, -1, 1])


@pytest.fixture(params=list(PATHS))
def _path(request, monkeypatch):
    monkeypatch.setattr(tiled, "DENSE_UP_TO", PATHS[request.param])
    monkeypatch.setattr(cpu, "SIDE_ON_CPU", 4)


def rows(*shape: int, seed: int = 0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


def sup_con(z, temperature, *, form, contrast, denominator, queue=None):
    """Khosla et al. 2020, eq. 2 and 3, as one matrix."""
    views, samples, _ = z.shape
    every = F.normalize(z, dim=-1).flatten(0, 1)
    y = torch.where(LABELS < 0, -1 - torch.arange(samples), LABELS).repeat(views)
    if queue is not None:
        every, y = torch.cat([every, F.normalize(queue, dim=-1)]), torch.cat([y, torch.arange(4)])
    m = samples if contrast == "one_view" else views * samples
    logits = every[:m] @ every.T / temperature
    own = torch.zeros_like(logits, dtype=torch.bool).fill_diagonal_(True)
    same = y[:m, None] == y
    positive = same & ~own
    of_negatives = logits.masked_fill(same, -torch.inf).logsumexp(dim=1, keepdim=True)
    below = {
        "all": logits.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True),
        "only_negatives": of_negatives,
        "one_positive": torch.logaddexp(of_negatives, logits),
    }[denominator]
    logs = logits - below
    if form == "outside":
        return -(torch.where(positive, logs, 0.0).sum(dim=1) / positive.sum(dim=1)).mean()
    inside = logs.masked_fill(~positive, -torch.inf).logsumexp(dim=1)
    return (positive.sum(dim=1).double().log() - inside).mean()


def info_nce(z, temperature, *, negatives, queue):
    """Chen et al. 2020, eq. 1; the two towers; He et al. 2020, eq. 1."""
    every = F.normalize(z, dim=-1)
    views, samples, _ = z.shape
    terms = []
    for v in range(1 if negatives == "queue" else views):
        for w in range(views):
            if v == w:
                continue
            positive = (every[v] * every[w]).sum(dim=-1) / temperature
            if negatives == "all_rows":
                against = every[v] @ every.flatten(0, 1).T / temperature
                against = against.index_put(
                    (torch.arange(samples), v * samples + torch.arange(samples)),
                    torch.tensor(-torch.inf, dtype=z.dtype),
                )
            elif negatives == "other_view":
                against = every[v] @ every[w].T / temperature
            else:
                against = positive[:, None]
            if queue is not None:
                more = every[v] @ F.normalize(queue, dim=-1).T / temperature
                against = torch.cat([against, more], dim=1)
            terms.append(against.logsumexp(dim=1) - positive)
    return torch.stack(terms).mean()


def sigmoid(z, temperature, bias):
    """Zhai et al. 2023, eq. 1 with the signs of algorithm 1, the mean over pairs of views."""
    every = F.normalize(z, dim=-1)
    signs = 2 * torch.eye(z.shape[1], dtype=z.dtype) - 1
    terms = [
        F.softplus(-signs * (every[v] @ every[w].T / temperature + bias), threshold=1000)
        for v in range(len(z))
        for w in range(v + 1, len(z))
    ]
    return torch.stack(terms).sum(dim=2).mean()


def agrees(ours, known, inputs):
    assert float(ours.detach()) == pytest.approx(float(known.detach()), rel=1e-11)
    for mine, theirs in zip(
        torch.autograd.grad(ours, inputs), torch.autograd.grad(known, inputs), strict=True
    ):
        assert mine.shape == theirs.shape
        assert float((mine - theirs).abs().max()) <= 1e-10 * float(theirs.abs().max())


def learnt(value: float, shape: tuple[int, ...] = ()):
    return torch.full(shape, value, dtype=torch.float64, requires_grad=True)


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("temperature", [0.07, 0.5, 0.001])
@pytest.mark.parametrize("denominator", Denominator.__args__)
@pytest.mark.parametrize("contrast", Contrast.__args__)
@pytest.mark.parametrize("form", Form.__args__)
def test_sup_con_has_the_exact_gradient_of_its_temperature(
    form, contrast, denominator, temperature
):
    z, t = rows(3, 10, 4).requires_grad_(), learnt(temperature)
    options = {"form": form, "contrast": contrast, "denominator": denominator}
    agrees(losses.sup_con(z, LABELS, temperature=t, **options), sup_con(z, t, **options), (t, z))


@pytest.mark.usefixtures("_path")
def test_a_labeled_queue_and_a_temperature_learn_together():
    z, t, queue = rows(2, 10, 4).requires_grad_(), learnt(0.2), rows(4, 4, seed=1).requires_grad_()
    options = {"form": "outside", "contrast": "all_views", "denominator": "all", "queue": queue}
    ours = losses.sup_con(z, LABELS, temperature=t, queue_labels=torch.arange(4), **options)
    agrees(ours, sup_con(z, t, **options), (t, z, queue))


@pytest.mark.usefixtures("_path")
def test_capped_positives_have_the_slope_of_finite_differences():
    z = rows(2, 10, 4)
    assert torch.autograd.gradcheck(
        lambda t: losses.sup_con(z, LABELS, temperature=t, positives_cap=2), learnt(0.3)
    )


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("negatives", Negatives.__args__)
def test_info_nce_has_the_exact_gradient_of_its_temperature(negatives, queued, temperature):
    z, t, queue = rows(3, 7, 4).requires_grad_(), learnt(temperature), None
    if queued or negatives == "queue":
        queue = rows(5, 4, seed=1).requires_grad_()
    ours = losses.info_nce(z, temperature=t, negatives=negatives, queue=queue)
    known = info_nce(z, t, negatives=negatives, queue=queue)
    agrees(ours, known, (t, z) if queue is None else (t, z, queue))


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("temperature", [0.1, 0.01, 2.0])
@pytest.mark.parametrize("bias", [-10.0, 0.0, 3.0])
@pytest.mark.parametrize("views", [2, 3])
def test_sigmoid_is_the_loss_of_siglip_and_learns_temperature_and_bias(views, bias, temperature):
    z, t, b = rows(views, 9, 4).requires_grad_(), learnt(temperature), learnt(bias)
    agrees(losses.sigmoid(z, temperature=t, bias=b), sigmoid(z, t, b), (t, b, z))


@pytest.mark.usefixtures("_path")
def test_sigmoid_as_published_starts_near_what_its_authors_say():
    """Algorithm 1's start, t = 10 and bias -10, on rows of no relation: a positive costs about 10,
    a negative nothing.
    """
    z = rows(2, 50, 256)
    loss = float(losses.sigmoid(z, temperature=0.1, bias=-10.0))
    assert loss == pytest.approx(10, abs=0.3)
    equal = torch.ones(2, 50, 8, dtype=torch.float64)  # logits of 0: log 2 for each of B questions
    assert float(losses.sigmoid(equal, temperature=0.1, bias=-10.0)) == pytest.approx(
        50 * math.log(2), rel=1e-12
    )


@pytest.mark.usefixtures("_path")
def test_sigmoid_does_not_care_for_order_rotation_or_which_tower_is_first():
    z = rows(2, 8, 5)
    rotation, _ = torch.linalg.qr(rows(5, 5, seed=2))
    known = float(losses.sigmoid(z, temperature=0.3, bias=-2.0))
    for moved in (z.flip(0), z.flip(1), 3 * z @ rotation):
        assert float(losses.sigmoid(moved, temperature=0.3, bias=-2.0)) == pytest.approx(known)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows_in", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.usefixtures("_path")
def test_a_temperature_of_any_format_and_of_shape_1_is_taken(dtype, rows_in):
    z = rows(2, 10, 4).to(rows_in).requires_grad_()
    t, b = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (0.25, -2.0))
    for loss, plain in (
        (losses.info_nce(z, temperature=t), losses.info_nce(z, temperature=0.25)),
        (losses.sigmoid(z, temperature=t, bias=b), losses.sigmoid(z, temperature=0.25, bias=-2.0)),
    ):
        assert loss.dtype == plain.dtype
        assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-6)
        loss.backward()
        assert t.grad.shape == (1,)
        assert math.isfinite(float(t.grad))


@pytest.mark.parametrize("number", [np.float32, np.float64, Fraction])
def test_a_number_of_another_library_is_taken(number):
    z = rows(2, 10, 4)
    for loss, options in (
        (losses.info_nce, {}),
        (losses.sup_con, {"labels": torch.arange(10) % 3}),
        (losses.sigmoid, {"bias": number(-2)}),
    ):
        ours, plain = (
            inspect.unwrap(loss)(z, temperature=t, **options) for t in (number(0.25), 0.25)
        )
        assert float(ours) == float(plain)


def test_the_logarithm_of_a_scale_learns_as_in_clip():
    z, log_scale = rows(2, 12, 6), learnt(math.log(1 / 0.07))
    loss = losses.info_nce(z, temperature=(-log_scale).exp(), negatives="other_view")
    a, b = F.normalize(z, dim=-1)
    logits = log_scale.exp() * a @ b.T
    partners = torch.arange(12)
    known = (F.cross_entropy(logits, partners) + F.cross_entropy(logits.T, partners)) / 2
    agrees(loss, known, (log_scale,))


def test_float32_keeps_the_digits_of_the_temperature_s_gradient():
    z = rows(2, 400, 32).float()
    slopes = []
    for x in (z, z.double()):
        t = torch.tensor(0.1, dtype=x.dtype, requires_grad=True)
        losses.info_nce(x, temperature=t).backward()
        slopes.append(float(t.grad))
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4)


Z = torch.ones(2, 3, 4)
WRONG = [
    (torch.tensor([0.1, 0.2]), r"want one value, got a tensor of shape \(2,\)"),
    (torch.tensor([]), r"want one value, got a tensor of shape \(0,\)"),
    (torch.tensor(math.nan), "want a finite number, got nan"),
    (torch.tensor(math.inf), "want a finite number, got inf"),
    (torch.tensor(1), "want a floating-point number, got torch.int64"),
]
NO_TEMPERATURES = [
    *WRONG,
    (torch.tensor(0.0), "want more than 0, got 0"),
    (torch.tensor(-0.5), "want more than 0, got -0.5"),
    (torch.tensor(1e-38), "want more than 0, got 1e-38"),
    (-1.0, "want more than 0, got -1.0"),
    ("warm", "want a number, got 'warm'"),
]


@pytest.mark.parametrize(("temperature", "message"), NO_TEMPERATURES)
def test_what_is_no_temperature_is_refused_by_name(temperature, message):
    for loss, options in (
        (losses.sup_con, {"labels": torch.tensor([0, 0, 1])}),
        (losses.info_nce, {}),
        (losses.sigmoid, {"bias": 0.0}),
    ):
        with pytest.raises(ValueError, match=f"temperature: {message}"):
            inspect.unwrap(loss)(Z, temperature=temperature, **options)


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        *WRONG[:4],
        (math.nan, "want a finite number, got nan"),
        ("low", "want a number, got 'low'"),
        (None, "want a number, got None"),
    ],
)
def test_what_is_no_bias_is_refused_by_name(bias, message):
    with pytest.raises(ValueError, match=f"bias: {message}"):
        inspect.unwrap(losses.sigmoid)(Z, temperature=0.1, bias=bias)


def test_sigmoid_refuses_a_single_view_and_rows_that_are_not_finite():
    for z, message in ((Z[:1], "z: want at least 2 views"), (Z * math.nan, "z: want finite")):
        with pytest.raises(ValueError, match=message):
            inspect.unwrap(losses.sigmoid)(z, temperature=0.1, bias=-10.0)
