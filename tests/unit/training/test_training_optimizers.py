"""Optimizers by name, and their state restored as it was laid out."""

import io
from typing import Any

import pytest
import torch
from timm.optim.rmsprop_tf import RMSpropTF
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nearfar.training.lars import LARS
from nearfar.training.optimizers import (
    CONSTANT_RATE,
    build_optimizer,
    load_optimizer_state,
    parameter_groups,
)

KINDS = {"sgd": SGD, "adamw": AdamW, "adam": Adam, "lars": LARS, "rmsprop": RMSpropTF}
TRUST = {"trust_coefficient": 0.02, "trust_ratio": "sum_of_norms", "trust_clip": True}
OWN = {"lars": TRUST, "rmsprop": {"epsilon": 0.001}}


def weights() -> list[nn.Parameter]:
    """A channels-last convolution weight, as the encoder keeps it, and a bias."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(8, 4, 3, 3, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    return [nn.Parameter(kernel), nn.Parameter(torch.zeros(8))]


def stepped(name: str) -> tuple[Optimizer, list[nn.Parameter]]:
    parameters = weights()
    optimizer = build_optimizer(
        name, parameters, lr=0.1, weight_decay=0.01, momentum=0.9, **OWN.get(name, {})
    )
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return optimizer, parameters


def saved_contiguously(optimizer: Optimizer) -> dict[str, object]:
    """The state through a file, with contiguous tensors: what another library's or version's file
    may hold.
    """
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


@pytest.mark.parametrize(("name", "kind"), list(KINDS.items()))
def test_a_name_gives_its_optimizer_with_rate_and_weight_decay(
    name: str, kind: type[Optimizer]
) -> None:
    optimizer = build_optimizer(
        name, weights(), lr=0.3, weight_decay=0.02, momentum=0.8, **OWN.get(name, {})
    )
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.3, 0.02, 2)
    if name == "sgd":
        assert (group["momentum"], group["nesterov"]) == (0.8, True)
    elif name.startswith("adam"):
        assert group["betas"] == (0.8, 0.999)


def test_sgd_without_momentum_is_without_nesterov() -> None:
    (group,) = build_optimizer(
        "sgd", weights(), lr=0.1, weight_decay=0.0, momentum=0.0
    ).param_groups
    assert (group["momentum"], group["nesterov"]) == (0.0, False)


def test_sgd_has_classical_momentum_where_that_is_asked_for() -> None:
    asked = {"lr": 0.1, "weight_decay": 0.0, "momentum": 0.9, "nesterov": False}
    optimizer = build_optimizer("sgd", nn.Linear(2, 2).parameters(), **asked)
    for group in optimizer.param_groups:
        assert (group["momentum"], group["nesterov"]) == (0.9, False)


def test_another_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="lion"):
        build_optimizer("lion", weights(), lr=0.1, weight_decay=0.0, momentum=0.9)


class TwoParts(nn.Module):
    """An encoder with a norm, a predictor, and a frozen part."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.predictor = nn.Linear(4, 2)
        self.target = nn.Linear(4, 2).requires_grad_(False)


def names_of(groups: list[dict[str, Any]], model: nn.Module) -> list[list[str]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[names[id(parameter)] for parameter in group["params"]] for group in groups]


ENCODER = ["encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias"]


def test_without_a_difference_all_that_learns_is_one_group_in_the_order_of_the_model() -> None:
    model = TwoParts()
    groups = parameter_groups(model)
    assert names_of(groups, model) == [[*ENCODER, "predictor.weight", "predictor.bias"]]
    assert "weight_decay" not in groups[0]
    assert not groups[0][CONSTANT_RATE]


def test_norms_and_biases_may_go_without_weight_decay() -> None:
    model = TwoParts()
    groups = parameter_groups(model, decay_norms_and_biases=False)
    assert names_of(groups, model) == [
        ["encoder.0.weight", "predictor.weight"],
        [*ENCODER[1:], "predictor.bias"],
    ]
    built = build_optimizer("sgd", groups, lr=0.1, weight_decay=0.02, momentum=0.9)
    assert [group["weight_decay"] for group in built.param_groups] == [0.02, 0.0]


def test_a_part_with_a_rate_of_its_own_is_a_group_of_its_own() -> None:
    model = TwoParts()
    groups = parameter_groups(model, constant_rate=("predictor",))
    assert names_of(groups, model) == [ENCODER, ["predictor.weight", "predictor.bias"]]
    built = build_optimizer("adamw", groups, lr=0.1, weight_decay=0.02, momentum=0.9)
    assert [group[CONSTANT_RATE] for group in built.param_groups] == [False, True]
    both = parameter_groups(model, constant_rate=("predictor",), decay_norms_and_biases=False)
    assert [group[CONSTANT_RATE] for group in both] == [False, False, True, True]


@pytest.mark.parametrize("name", list(OWN))
def test_an_optimizers_own_settings_reach_it(name: str) -> None:
    (group,) = build_optimizer(
        name, weights(), lr=0.1, weight_decay=0.02, momentum=0.8, **OWN[name]
    ).param_groups
    theirs = {"epsilon": "eps"}  # timm's name for ours
    for key, value in OWN[name].items():
        assert group[theirs.get(key, key)] == value
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (0.1, 0.02, 0.8)


@pytest.mark.parametrize("name", list(KINDS))
def test_restored_state_has_its_parameters_strides_and_the_saved_values(name: str) -> None:
    optimizer, parameters = stepped(name)
    want = {key: value.clone() for key, value in optimizer.state[parameters[0]].items()}
    saved = saved_contiguously(optimizer)
    load_optimizer_state(optimizer, saved)
    restored = optimizer.state[parameters[0]]
    shaped = [key for key, value in restored.items() if value.shape == parameters[0].shape]
    assert len(shaped) == (1 if name in ("sgd", "lars") else 2)
    for key in shaped:
        assert restored[key].stride() == parameters[0].stride()
    assert all(torch.equal(restored[key], value) for key, value in want.items())


def test_torchs_own_loading_keeps_the_strides_of_the_file() -> None:
    """Why `load_optimizer_state` exists; should this fail one day, it can go."""
    optimizer, parameters = stepped("sgd")
    optimizer.load_state_dict(saved_contiguously(optimizer))
    assert optimizer.state[parameters[0]]["momentum_buffer"].stride() != parameters[0].stride()


@pytest.mark.parametrize("name", list(KINDS))
def test_a_restored_optimizer_takes_the_step_of_the_one_that_was_saved(name: str) -> None:
    (one, left), (two, right) = stepped(name), stepped(name)
    load_optimizer_state(two, saved_contiguously(one))
    generator = torch.Generator().manual_seed(2)
    for a, b in zip(left, right, strict=True):
        a.grad = torch.randn(a.shape, generator=generator)
        b.grad = a.grad.clone()
    one.step()
    two.step()
    assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
