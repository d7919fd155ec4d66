"""Encoders filled from what others saved: whatever they wrapped the network into."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18

from nearfar.core.errors import UserError
from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.weights import Loaded, _fitted, fill, load_weights

State = dict[str, Tensor]


def refusal(encoder: Encoder, path: Path) -> str:
    before = {name: value.clone() for name, value in encoder.net.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_weights(encoder, path)
    assert str(caught.value).startswith(f"encoder.weights: {path}")
    assert all(torch.equal(value, before[name]) for name, value in encoder.net.state_dict().items())
    return str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "pt", "pt in state_dict"])
def test_weights_come_back_from_a_file(tmp_path: Path, kind: str) -> None:
    source, target = (
        build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)),
        build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)),
    )
    state = {name: value.contiguous() for name, value in source.net.state_dict().items()}
    path = tmp_path / f"weights.{kind.split()[0]}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if "in" in kind else state, path)
    assert load_weights(target, path) == Loaded()
    assert all(torch.equal(value, target.net.state_dict()[name]) for name, value in state.items())


@pytest.mark.parametrize(
    ("name", "order"), [("conv4", torch.contiguous_format), ("resnet10t", torch.channels_last)]
)  # fmt: skip
def test_loaded_weights_keep_their_memory_format(
    name: str, order: torch.memory_format, tmp_path: Path
) -> None:
    encoder = build_encoder(name, example=torch.zeros(1, 3, 32, 32))
    strides = [p.stride() for p in encoder.parameters()]
    save_file(
        {k: v.contiguous() for k, v in encoder.net.state_dict().items()}, tmp_path / "w.safetensors"
    )
    load_weights(encoder, tmp_path / "w.safetensors")
    assert [p.stride() for p in encoder.parameters()] == strides
    kernels = [p for p in encoder.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=order) for kernel in kernels)


def test_the_classifier_of_a_file_is_ignored_and_an_edited_stem_is_left_and_named(
    tmp_path: Path, small_resnet: Encoder, own_resnet: Encoder
) -> None:
    whole = timm.create_model("resnet18", num_classes=7)
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    encoder = small_resnet
    stem = encoder.net.get_submodule("conv1").weight.detach().clone()
    loaded = load_weights(encoder, tmp_path / "w.safetensors")
    assert loaded.left == ("conv1.weight",)
    assert set(loaded.dropped) == {"fc.weight", "fc.bias"}
    now = encoder.net.state_dict()
    assert torch.equal(now["conv1.weight"], stem)
    others = [name for name in now if name != "conv1.weight"]
    assert len(others) > 100
    assert all(torch.equal(now[name], whole.state_dict()[name]) for name in others)
    assert load_weights(own_resnet, tmp_path / "w.safetensors").left == ()


def test_a_file_without_batch_counters_is_taken(tmp_path: Path) -> None:
    """Old files have none."""
    state = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).net.state_dict()
    save_file(
        {k: v.contiguous() for k, v in state.items() if "tracked" not in k},
        tmp_path / "w.safetensors",
    )
    assert (
        load_weights(
            build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), tmp_path / "w.safetensors"
        ).left
        == ()
    )


def test_a_file_of_another_network_is_refused_with_counts(tmp_path: Path) -> None:
    state = {
        k: v.contiguous()
        for k, v in build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).net.state_dict().items()
    }
    del state["1.weight"]
    state["4.weight"] = torch.zeros(16, 8, 5, 5)
    state["5.scale"] = state["head.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pt")
    message = refusal(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), tmp_path / "w.pt")
    assert (
        "does not fit conv4: 1 missing, 1 of another shape, 1 unknown (the first: 1.weight), 95 % of"
        " its numbers are there" in message
    )
    assert "name the network that it was saved from" in message


def test_weights_for_other_channels_and_an_optimizer_s_state_are_named(
    tmp_path: Path, own_resnet: Encoder
) -> None:
    gray = timm.create_model("resnet18", num_classes=0, in_chans=1)
    save_file(gray.state_dict(), tmp_path / "gray.safetensors")
    message = refusal(own_resnet, tmp_path / "gray.safetensors")
    assert "conv1.weight is 64x1x7x7 there, 64x3x7x7 here" in message
    assert "images of 1 channel(s)" in message
    optimizer = torch.optim.AdamW(gray.parameters())
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    assert "is the state of an optimizer" in refusal(own_resnet, tmp_path / "optimizer.pt")


def test_a_mistake_in_the_stem_is_no_edited_stem(tmp_path: Path, own_resnet: Encoder) -> None:
    """Only a stem that nearfar edited may differ in shape."""
    state = {name: value.contiguous() for name, value in own_resnet.net.state_dict().items()}
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    save_file(state, tmp_path / "w.safetensors")
    message = refusal(own_resnet, tmp_path / "w.safetensors")
    assert "0 missing, 1 of another shape, 0 unknown (the first: conv1.weight)" in message


# ---- what the field publishes
# ------------------------------------------------------------------------------


def under(before: str, state: Mapping[str, Tensor]) -> State:
    return {f"{before}{name}": value for name, value in state.items()}


def others(state: Mapping[str, Tensor]) -> State:
    """Another network of the same form: a target, which is not to be taken."""
    return {name: torch.full_like(value, 7) for name, value in state.items()}


def head(before: str, width: int = 512) -> State:
    return {f"{before}.0.weight": torch.zeros(128, width), f"{before}.0.bias": torch.zeros(128)}


def optimizer() -> dict[str, Any]:
    return {"state": {0: {"momentum_buffer": torch.zeros(64, 3, 7, 7)}}, "param_groups": []}


def sup_contrast(state: State) -> dict[str, Any]:
    state = {name.replace("downsample", "shortcut"): value for name, value in state.items()}
    model = {**under("encoder.module.", state), **head("head")}
    options = argparse.Namespace(model="resnet18", temp=0.07)
    return {"opt": options, "model": model, "optimizer": optimizer(), "epoch": 1000}


def moco(state: State) -> dict[str, Any]:
    model = {
        **under("module.encoder_k.", others(state)),
        **head("module.encoder_k.fc"),
        **under("module.encoder_q.", state),
        **head("module.encoder_q.fc"),
        "module.queue": torch.zeros(128, 8),
    }
    return {"epoch": 200, "arch": "resnet18", "state_dict": model, "optimizer": optimizer()}


def swav(state: State) -> dict[str, Any]:
    more = {"module.prototypes.weight": torch.zeros(30, 128)}
    return {**under("module.", state), **head("module.projection_head"), **more}


def dino(state: State) -> dict[str, Any]:
    student = {**under("module.backbone.", others(state)), **head("module.head.mlp")}
    teacher = {**under("backbone.", state), **head("head.mlp")}
    options = argparse.Namespace(arch="resnet18")
    return {"student": student, "teacher": teacher, "optimizer": optimizer(), "args": options}


def simsiam(state: State) -> dict[str, Any]:
    model = under("module.encoder.", state) | head("module.encoder.fc") | head("module.predictor")
    return {"epoch": 100, "arch": "resnet18", "state_dict": model}


def vicreg(state: State) -> dict[str, Any]:
    model = under("module.backbone.", state) | head("module.projector")
    return {"epoch": 99, "model": model, "optimizer": optimizer()}


def lightly(state: State) -> dict[str, Any]:
    """Its examples build a backbone of `list(resnet.children())[:-1]`."""
    parts = [name for name, _ in resnet18().named_children()]
    numbered = {}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        numbered[f"{parts.index(part)}.{rest}"] = value
    model = {
        **under("backbone.", numbered),
        **under("backbone_momentum.", others(numbered)),
        **head("projection_head.layers"),
    }
    return {"state_dict": model, "pytorch-lightning_version": "2.5.0", "optimizer_states": [{}]}


def solo_learn(state: State) -> dict[str, Any]:
    model = {
        **under("momentum_backbone.", others(state)),
        **under("backbone.", state),
        **head("projector"),
        "classifier.weight": torch.zeros(10, 512),
    }
    return {"epoch": 999, "global_step": 1, "state_dict": model, "callbacks": {}, "loops": {}}


def plain(state: State) -> dict[str, Any]:
    """As VICReg and torchvision publish a backbone."""
    return {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


LAYOUTS: tuple[Callable[[State], dict[str, Any]], ...] = (
    sup_contrast, moco, swav, dino, simsiam, vicreg, lightly, solo_learn, plain
)  # fmt: skip


@pytest.fixture(scope="module")
def published() -> State:
    """A ResNet-18 as torchvision names it, without its classifier."""
    return {name: v for name, v in resnet18().state_dict().items() if not name.startswith("fc.")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_is_found_in_every_layout_that_the_field_publishes(
    layout: Callable[[State], dict[str, Any]], published: State, own_resnet: Encoder, tmp_path: Path
) -> None:
    torch.save(layout(published), tmp_path / "w.pth")
    for parameter in own_resnet.parameters():
        torch.nn.init.constant_(parameter, 3.0)
    loaded = load_weights(own_resnet, tmp_path / "w.pth")
    found = own_resnet.net.state_dict()
    assert found.keys() == published.keys()
    assert all(torch.equal(value, found[name]) for name, value in published.items())
    assert loaded.left == ()
    assert not any("layer" in name for name in loaded.unused)


def test_the_small_stem_of_sup_contrast_is_that_of_small_images(
    published: State, small_resnet: Encoder
) -> None:
    state = {**published, "conv1.weight": torch.randn(64, 3, 3, 3)}
    wrapped = under("model.", sup_contrast(state)["model"])
    assert fill(small_resnet, wrapped, "w.pth").left == ()
    assert torch.equal(small_resnet.net.get_parameter("conv1.weight"), state["conv1.weight"])


@pytest.mark.parametrize("before", ["teacher.backbone.", "state_dict.module.base_encoder."])
@pytest.mark.parametrize("side", [64, 32])
def test_a_transformer_is_found_and_fitted_to_the_size(before: str, side: int) -> None:
    """As DINO and MoCo v3 name it, from 64 px with patches of 16 px."""
    name, create = "vit_tiny_patch16_224", {"depth": 2}
    saved = build_encoder(name, example=torch.zeros(1, 3, 64, 64), create=create).net.state_dict()
    encoder = build_encoder(name, example=torch.zeros(1, 3, side, side), create=create)
    loaded = fill(encoder, {**under(before, saved), **head(f"{before}head", 192)}, "w.pth")
    found = encoder.net.state_dict()
    fitted = {"pos_embed", "patch_embed.proj.weight"} if side == 32 else set()
    assert set(loaded.resampled) == fitted
    assert all(torch.equal(v, found[key]) for key, v in saved.items() if key not in fitted)
    if side == 32:
        wanted = timm.layers.resample_patch_embed(saved["patch_embed.proj.weight"], [4, 4])
        assert torch.equal(found["patch_embed.proj.weight"], wanted)
        first = saved["pos_embed"][:, 0], found["pos_embed"][:, 0]
        assert torch.equal(*first)  # the class token's


def test_what_did_not_match_is_named_on_both_sides(published: State, own_resnet: Encoder) -> None:
    state = {name: v for name, v in published.items() if not name.startswith("layer1.")}
    loaded = fill(own_resnet, {**under("m.", state), **head("m.projector")}, "w.pth")
    assert loaded.unused == ("m.projector.0.weight", "m.projector.0.bias")
    assert len(loaded.left) == 20
    assert all(name.startswith("layer1.") for name in loaded.left)


def test_less_than_half_of_an_encoder_is_refused(
    published: State, own_resnet: Encoder, tmp_path: Path
) -> None:
    state = {name: v for name, v in published.items() if not name.startswith("layer4.")}
    torch.save(state, tmp_path / "w.pth")
    message = refusal(own_resnet, tmp_path / "w.pth")
    assert "25 % of its numbers are there" in message
    torch.save({"a": torch.zeros(3)}, tmp_path / "w.pth")
    assert " 0 % of its numbers are there" in refusal(own_resnet, tmp_path / "w.pth")


def test_layers_that_the_encoder_has_not_are_another_networks(
    published: State, own_resnet: Encoder, tmp_path: Path
) -> None:
    """A ResNet-34 has all that a ResNet-18 has, and more."""
    torch.save(
        {**published, "layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}, tmp_path / "w.pth"
    )
    message = refusal(own_resnet, tmp_path / "w.pth")
    assert "0 missing, 0 of another shape, 1 unknown (the first: layer1.2.conv1.weight)" in message


def test_a_last_layer_that_is_kept_comes_from_the_file() -> None:
    example = torch.zeros(1, 3, 64, 64)
    encoder = build_encoder("resnet10t", example=example, create={"num_classes": 1000})
    whole = timm.create_model("resnet10t").state_dict()
    assert fill(encoder, whole, "w.pth") == Loaded()
    assert torch.equal(encoder.net.get_parameter("fc.weight"), whole["fc.weight"])


def test_a_network_that_has_shortcuts_of_its_own_is_filled(tmp_path: Path) -> None:
    ghost = build_encoder("ghostnet_050", example=torch.zeros(1, 3, 64, 64))
    assert any(".shortcut." in name for name in ghost.net.state_dict())
    save_file(ghost.net.state_dict(), tmp_path / "w.safetensors")
    again = build_encoder("ghostnet_050", example=torch.zeros(1, 3, 64, 64))
    assert load_weights(again, tmp_path / "w.safetensors").left == ()


@pytest.mark.parametrize("copy", ["ema", "model_ema", "momentum_encoder"])
def test_of_two_equal_networks_the_copy_is_not_taken(tmp_path: Path, copy: str) -> None:
    learned, averaged = (
        build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).net.state_dict() for _ in range(2)
    )
    torch.save({copy: averaged, "a_longer_name": learned}, tmp_path / "w.pt")
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))
    load_weights(encoder, tmp_path / "w.pt")
    assert all(torch.equal(v, learned[name]) for name, v in encoder.net.state_dict().items())


def test_positions_that_are_not_of_one_token_a_patch_are_left_as_they_are() -> None:
    """Hiera's: the patches are merged, and nothing says where a position stands."""
    net = nn.Module()
    net.patch_embed = nn.Conv2d(3, 4, 2)
    positions = torch.zeros(1, 9, 4)
    assert _fitted(net, "pos_embed", positions, torch.Size([1, 4, 4])) is positions
