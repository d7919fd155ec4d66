"""The optimizer `rmsprop` against a slow float64 transcription of TensorFlow's form, and what sets it apart from
torch's.
"""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nearfar.training.optimizers import build_optimizer

SHAPES = ((3, 2), (4,))
rmsprop = partial(build_optimizer, "rmsprop")


def transcription(weights, gradients, *, rates, momentum, weight_decay, epsilon):
    """One list for each tensor: the weights after one step for each rate."""
    weights = [list(values) for values in weights]
    squares = [[1.0] * len(values) for values in weights]
    buffers = [[0.0] * len(values) for values in weights]
    for lr, step in zip(rates, gradients, strict=True):
        for w, square, buffer, gradient in zip(weights, squares, buffers, step, strict=True):
            for at, g in enumerate(gradient):
                g = g + weight_decay * w[at]
                square[at] = 0.9 * square[at] + 0.1 * g * g
                buffer[at] = momentum * buffer[at] + lr * g / math.sqrt(square[at] + epsilon)
                w[at] -= buffer[at]
    return weights


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.sampled_from([(0.05, 0.05, 0.05), (0.3, 0.1, 0.03)]),
    st.sampled_from([0.0, 0.9]),
    st.sampled_from([0.0, 1e-6, 0.1]),
    st.sampled_from([1e-3, 1.0]),
)
def test_three_steps_are_those_of_tensorflow(seed, rates, momentum, weight_decay, epsilon):
    source = torch.Generator().manual_seed(seed)
    parameters = [
        nn.Parameter(torch.randn(shape, generator=source, dtype=torch.float64)) for shape in SHAPES
    ]
    start = [parameter.detach().flatten().tolist() for parameter in parameters]
    optimizer = rmsprop(
        parameters, lr=1.0, momentum=momentum, weight_decay=weight_decay, epsilon=epsilon
    )
    steps = []
    for lr in rates:
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
        steps.append([parameter.grad.flatten().tolist() for parameter in parameters])
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    options = {"momentum": momentum, "weight_decay": weight_decay, "epsilon": epsilon}
    expected = transcription(start, steps, rates=rates, **options)
    for parameter, values in zip(parameters, expected, strict=True):
        assert parameter.detach().flatten().tolist() == pytest.approx(values, rel=1e-9, abs=1e-12)


def test_the_first_steps_are_small_where_torchs_are_large():
    ours, torchs = (nn.Parameter(torch.zeros(3)) for _ in range(2))
    gradient = torch.tensor([1e-2, -1e-3, 1e-4])
    for parameter, optimizer in (
        (ours, rmsprop([ours], lr=0.05, momentum=0.9, weight_decay=0.0, epsilon=1e-3)),
        (torchs, torch.optim.RMSprop([torchs], lr=0.05, alpha=0.9, momentum=0.9, eps=1e-12)),
    ):
        parameter.grad = gradient.clone()
        optimizer.step()
    assert torchs.detach().abs().tolist() == pytest.approx([0.05 / 0.1**0.5] * 3, rel=1e-4)
    assert torch.allclose(ours.detach(), -0.05 * gradient / (0.9 + 1e-3) ** 0.5, rtol=1e-3)


def test_a_parameter_without_gradient_stays():
    parameter = nn.Parameter(torch.ones(2, 2))
    optimizer = rmsprop([parameter], lr=1.0, momentum=0.9, weight_decay=0.1, epsilon=1.0)
    optimizer.step()
    assert torch.equal(parameter.detach(), torch.ones(2, 2))
    assert not optimizer.state[parameter]
