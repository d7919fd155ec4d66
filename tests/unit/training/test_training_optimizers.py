"""Optimisers by name, and their state restored as it was laid out."""

import io

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nearfar.training.optimizers import build_optimizer, load_optimizer_state


def weights() -> list[nn.Parameter]:
    """A channels-last convolution weight, as the encoder keeps it, and a bias."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(8, 4, 3, 3, generator=generator).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(kernel), nn.Parameter(torch.zeros(8))]


def stepped(name: str) -> tuple[Optimizer, list[nn.Parameter]]:
    parameters = weights()
    optimizer = build_optimizer(name, parameters, lr=0.1, weight_decay=0.01, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return optimizer, parameters


def saved_contiguously(optimizer: Optimizer) -> dict[str, object]:
    """The state through a file, with contiguous tensors: what another library's or version's file may hold."""
    state = optimizer.state_dict()
    for entries in state["state"].values():
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                entries[key] = value.contiguous().clone(memory_format=torch.contiguous_format)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, object] = torch.load(file, weights_only=True)
    return loaded


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adamw", AdamW), ("adam", Adam)])
def test_a_name_gives_its_optimiser_with_rate_and_weight_decay(name: str, kind: type[Optimizer]) -> None:
    optimizer = build_optimizer(name, weights(), lr=0.3, weight_decay=0.02, momentum=0.8)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.3, 0.02, 2)
    if name == "sgd":
        assert (group["momentum"], group["nesterov"]) == (0.8, True)
    else:
        assert group["betas"] == (0.8, 0.999)


def test_sgd_without_momentum_is_without_nesterov() -> None:
    (group,) = build_optimizer("sgd", weights(), lr=0.1, weight_decay=0.0, momentum=0.0).param_groups
    assert (group["momentum"], group["nesterov"]) == (0.0, False)


def test_another_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="lion"):
        build_optimizer("lion", weights(), lr=0.1, weight_decay=0.0, momentum=0.9)


@pytest.mark.parametrize("name", ["sgd", "adamw", "adam"])
def test_restored_state_has_its_parameters_strides_and_the_saved_values(name: str) -> None:
    optimizer, parameters = stepped(name)
    want = {key: value.clone() for key, value in optimizer.state[parameters[0]].items()}
    saved = saved_contiguously(optimizer)
    load_optimizer_state(optimizer, saved)
    restored = optimizer.state[parameters[0]]
    shaped = [key for key, value in restored.items() if value.shape == parameters[0].shape]
    assert len(shaped) == (1 if name == "sgd" else 2)
    for key in shaped:
        assert restored[key].stride() == parameters[0].stride()
    assert all(torch.equal(restored[key], value) for key, value in want.items())


def test_torchs_own_loading_keeps_the_strides_of_the_file() -> None:
    """Why `load_optimizer_state` exists; should this fail one day, it can go."""
    optimizer, parameters = stepped("sgd")
    optimizer.load_state_dict(saved_contiguously(optimizer))
    assert optimizer.state[parameters[0]]["momentum_buffer"].stride() != parameters[0].stride()


@pytest.mark.parametrize("name", ["sgd", "adamw", "adam"])
def test_a_restored_optimiser_takes_the_step_of_the_one_that_was_saved(name: str) -> None:
    (one, left), (two, right) = stepped(name), stepped(name)
    load_optimizer_state(two, saved_contiguously(one))
    generator = torch.Generator().manual_seed(2)
    for a, b in zip(left, right, strict=True):
        a.grad = torch.randn(a.shape, generator=generator)
        b.grad = a.grad.clone()
    one.step()
    two.step()
    assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
