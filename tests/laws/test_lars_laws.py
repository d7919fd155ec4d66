"""LARS against a slow float64 transcription of its published forms, and its laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nearfar.training.lars import LARS

FORMS = ("norm_of_sum", "sum_of_norms")
SHAPES = ((3, 2), (4,), (2, 2, 1))


def length(values):
    return math.sqrt(sum(value * value for value in values))


def transcription(weights, gradients, *, lr, momentum, weight_decay, coefficient, form, clip):
    """Flat lists: the weights after each of the given steps. `weights` and `gradients[step]` are by
    tensor.
    """
    weights = [list(values) for values, _ in weights]
    buffers = [[0.0] * len(values) for values in weights]
    for step in gradients:
        for tensor, (gradient, dimensions) in enumerate(step):
            w, buffer = weights[tensor], buffers[tensor]
            way = [g + weight_decay * x for g, x in zip(gradient, w, strict=True)]
            ratio = 1.0
            if dimensions > 1:
                if form == "norm_of_sum":
                    slope = below = length(way)
                else:
                    slope = length(gradient)
                    way = way if slope > 0 else list(gradient)
                    below = slope + weight_decay * length(w) + 1e-8
                if length(w) > 0 and slope > 0:
                    ratio = coefficient * length(w) / below
                    if clip:
                        ratio = min(ratio / lr, 1.0)
            for at in range(len(w)):
                buffer[at] = momentum * buffer[at] + ratio * way[at]
                w[at] -= lr * buffer[at]
    return weights


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.sampled_from([0.01, 0.3, 2.0]),
    st.sampled_from([0.0, 0.9]),
    st.sampled_from([0.0, 1e-3, 0.1]),
    st.sampled_from([0.001, 0.02, 1.0]),
    st.sampled_from(FORMS),
    st.booleans(),
)
def test_three_steps_are_those_of_the_published_code(
    seed, lr, momentum, weight_decay, coefficient, form, clip
):
    source = torch.Generator().manual_seed(seed)
    parameters = [
        nn.Parameter(torch.randn(shape, generator=source, dtype=torch.float64)) for shape in SHAPES
    ]
    start = [(parameter.detach().flatten().tolist(), parameter.ndim) for parameter in parameters]
    optimizer = LARS(
        parameters,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        trust_coefficient=coefficient,
        trust_ratio=form,
        trust_clip=clip,
    )
    steps = []
    for _ in range(3):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
        steps.append(
            [(parameter.grad.flatten().tolist(), parameter.ndim) for parameter in parameters]
        )
        optimizer.step()
    expected = transcription(
        start,
        steps,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        coefficient=coefficient,
        form=form,
        clip=clip,
    )
    for parameter, values in zip(parameters, expected, strict=True):
        assert parameter.detach().flatten().tolist() == pytest.approx(values, rel=1e-9, abs=1e-12)


def moved(weight: torch.Tensor, gradient: torch.Tensor, **options) -> torch.Tensor:
    """How far one step goes from there."""
    parameter = nn.Parameter(weight.clone())
    parameter.grad = gradient.clone()
    plain = {
        "lr": 1.0,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "trust_coefficient": 0.001,
        "trust_ratio": "norm_of_sum",
        "trust_clip": False,
    }
    LARS([parameter], **{**plain, **options}).step()
    return weight - parameter.detach()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (4,)])
def test_what_starts_from_zero_moves_at_the_plain_rate(form, clip, shape):
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    step = moved(
        torch.zeros(shape), gradient, lr=2.0, weight_decay=0.1, trust_ratio=form, trust_clip=clip
    )
    assert torch.equal(step, 2 * gradient)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_without_a_gradient_a_matrix_decays_by_the_ratio_or_not_at_all(form, clip):
    """solo-learn and lightly add the decay only where both norms are above 0; the norm of the sum
    is that of the decay alone.
    """
    weight = torch.full((2, 2), 3.0)
    step = moved(weight, torch.zeros(2, 2), weight_decay=0.1, trust_ratio=form, trust_clip=clip)
    assert torch.allclose(step, torch.zeros(2, 2) if form == "sum_of_norms" else 0.001 * weight)


@pytest.mark.parametrize("form", FORMS)
def test_a_gradient_that_the_decay_cancels_moves_nothing(form):
    weight = torch.full((2, 2), 2.0)
    assert not moved(weight, -0.5 * weight, weight_decay=0.5, trust_ratio=form).any()


@pytest.mark.parametrize("form", FORMS)
def test_the_length_of_a_gradient_does_not_matter_to_a_matrix_and_matters_to_a_bias(form):
    source = torch.Generator().manual_seed(0)
    weight, gradient = (torch.randn(3, 4, generator=source, dtype=torch.float64) for _ in range(2))
    one, hundred = (moved(weight, scale * gradient, trust_ratio=form) for scale in (1.0, 100.0))
    assert torch.allclose(one, hundred, rtol=1e-7)
    assert float(one.norm()) == pytest.approx(0.001 * float(weight.norm()), rel=1e-7)
    bias = moved(weight[0], 100 * gradient[0], trust_ratio=form)
    assert torch.allclose(bias, 100 * gradient[0])


def test_the_sum_of_norms_is_never_the_larger_step():
    source = torch.Generator().manual_seed(1)
    weight, gradient = (torch.randn(3, 4, generator=source, dtype=torch.float64) for _ in range(2))
    steps = [moved(weight, gradient, weight_decay=0.5, trust_ratio=form).norm() for form in FORMS]
    assert float(steps[1]) < float(steps[0])


def test_clipping_never_exceeds_the_plain_rate():
    weight, gradient = torch.ones(2, 2), torch.full((2, 2), 1e-6)
    plain = moved(weight, gradient, lr=0.1, trust_coefficient=1.0)
    clipped = moved(weight, gradient, lr=0.1, trust_coefficient=1.0, trust_clip=True)
    assert torch.allclose(clipped, 0.1 * gradient, atol=1e-7)
    assert float(plain.norm()) > 1000 * float(clipped.norm())


def test_a_parameter_without_gradient_stays():
    parameter = nn.Parameter(torch.ones(2, 2))
    optimizer = LARS(
        [parameter],
        lr=1.0,
        momentum=0.9,
        weight_decay=0.1,
        trust_coefficient=1.0,
        trust_ratio="norm_of_sum",
        trust_clip=False,
    )
    optimizer.step()
    assert torch.equal(parameter.detach(), torch.ones(2, 2))
    assert not optimizer.state[parameter]


def test_groups_have_a_rate_and_a_decay_of_their_own():
    one, two = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = LARS(
        [{"params": [one]}, {"params": [two], "lr": 0.5, "weight_decay": 0.0}],
        lr=1.0,
        momentum=0.0,
        weight_decay=0.5,
        trust_coefficient=1.0,
        trust_ratio="sum_of_norms",
        trust_clip=False,
    )
    one.grad, two.grad = torch.ones(2, 2), torch.ones(2, 2)
    optimizer.step()  # of one: q = 2 / (2 + .5 * 2), g + wd w = 1.5; of two: q = 1, g = 1
    assert torch.allclose(one.detach(), torch.zeros(2, 2), atol=1e-6)
    assert torch.allclose(two.detach(), torch.full((2, 2), 0.5), atol=1e-6)
