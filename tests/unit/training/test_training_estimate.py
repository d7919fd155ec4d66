"""What a row costs: sane numbers, and an encoder that notices nothing."""

import torch
from torch import nn

from nearfar.nn.building import build_encoder, own_encoder
from nearfar.training.estimate import row_cost

CPU = torch.device("cpu")


def test_the_cost_of_a_row_is_positive_and_of_the_right_order() -> None:
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 16, 16))
    cost = row_cost(encoder, device=CPU)
    assert 0 < cost.seconds < 0.1
    # input, and convolution, norm, ReLU and pooling of four stages: at least input and two maps a
    # stage
    maps = [8 * 256, 16 * 64, 32 * 16, 64 * 4]
    assert 4 * (3 * 256 + 2 * sum(maps)) <= cost.saved_bytes <= 4 * (3 * 256 + 5 * sum(maps))
    assert cost.weight_bytes == 3 * 4 * 24_648


def test_a_larger_view_keeps_more_for_the_backward() -> None:
    small = row_cost(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), device=CPU)
    large = row_cost(build_encoder("conv4", example=torch.zeros(1, 3, 16, 16)), device=CPU)
    assert 3 < large.saved_bytes / small.saved_bytes < 5
    assert large.weight_bytes == small.weight_bytes


def test_an_encoder_in_which_nothing_learns_is_timed_without_a_backward() -> None:
    example = torch.zeros(1, 3, 8, 8)
    frozen = build_encoder("conv4", example=example).requires_grad_(False)
    empty = own_encoder(nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), example)
    for encoder, weights in ((frozen, 3 * 4 * 24_648), (empty, 0)):
        cost = row_cost(encoder, device=CPU)
        assert cost.seconds > 0 and cost.evaluated_seconds > 0
        assert (cost.saved_bytes, cost.widest_bytes, cost.weight_bytes) == (0, 0, weights)


def test_measuring_leaves_the_encoder_and_torchs_generator_as_they_were() -> None:
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).eval()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    row_cost(encoder, device=CPU)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert not encoder.training
    assert torch.equal(torch.get_rng_state(), state)
