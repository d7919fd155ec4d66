"""Encoders by name: the small-image stem, weights from files, and no surprises from the hub."""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from nn_modules import Plain
from safetensors.torch import save_file
from torch import Tensor, nn

from nearfar.core.errors import UserError
from nearfar.nn.building import build_encoder, encoder_names, load_weights, published
from nearfar.nn.encoders import Encoder


def rows(size: int, n: int = 2) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def refusal(encoder: Encoder, path: Path) -> str:
    before = {name: value.clone() for name, value in encoder.net.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_weights(encoder, path)
    assert str(caught.value).startswith(f"encoder.weights: {path}")
    assert all(torch.equal(value, before[name]) for name, value in encoder.net.state_dict().items())
    return str(caught.value)


@pytest.fixture(scope="module")
def small_resnet() -> Encoder:
    """ResNet-18 for 32 px; shared, because it takes a quarter of a second to make."""
    return build_encoder("resnet18", example=torch.zeros(1, 3, 32, 32))


@pytest.fixture(scope="module")
def own_resnet() -> Encoder:
    """ResNet-18 for 64 px, shared."""
    return build_encoder("resnet18", example=torch.zeros(1, 3, 64, 64))


# ---- by name
# -----------------------------------------------------------------------------------------------


def test_names_begin_with_conv4_and_hold_timms() -> None:
    names = encoder_names()
    assert names[0] == "conv4"
    assert len(names) > 500
    assert {"resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224"} <= set(names)


def test_an_encoder_knows_how_it_was_made(own_resnet: Encoder) -> None:
    four, resnet = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), own_resnet
    made = (four.architecture, four.library, four.create, four.stem)
    assert made == ("conv4", "nearfar", {}, ())
    assert four.example.shape == (1, 3, 8, 8)
    assert (resnet.architecture, resnet.library, resnet.create, resnet.stem) == (
        "resnet18",
        "timm",
        {},
        (),
    )
    assert resnet.width == 512


def test_a_network_of_a_fixed_size_is_built_for_the_size_that_is_asked() -> None:
    encoder = build_encoder("vit_tiny_patch16_224", example=torch.zeros(1, 3, 32, 32))
    assert encoder.create == {"img_size": 32}
    assert encoder.width == 192
    assert encoder(rows(32)).shape == (2, 192)


def test_a_size_that_a_network_cannot_take_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"encoder\.name: conv4: cannot take images of 4 x 4 px"):
        build_encoder("conv4", example=torch.zeros(1, 3, 4, 4))
    with pytest.raises(UserError, match=r"encoder\.name: vit_tiny_patch16_224"):
        build_encoder("vit_tiny_patch16_224", example=torch.zeros(1, 3, 8, 8))


def test_what_is_published_is_what_timm_states_of_that_name() -> None:
    found = published("resnet18")
    assert found is not None
    assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (found.size, found.crop, found.interpolation) == (224, 0.95, "bicubic")
    vit = published("vit_tiny_patch16_224")
    assert vit is not None and vit.mean == (0.5, 0.5, 0.5)
    assert published("conv4") is None


@pytest.mark.parametrize(
    ("name", "crop", "interpolation"),
    [
        ("tf_efficientnet_lite0", 0.875, "bicubic"),
        ("resnet18.tv_in1k", 0.875, "bilinear"),
        ("vit_tiny_patch16_224", 0.9, "bicubic"),
    ],
)
def test_published_weights_say_how_they_look_at_an_image(
    name: str, crop: float, interpolation: str
) -> None:
    found = published(name)
    assert found is not None
    assert (found.crop, found.interpolation) == (crop, interpolation)


def test_weights_that_the_hub_does_not_give_are_the_users_error_that_names_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: object, **given: Any) -> nn.Module:
        assert given["pretrained"] is True
        raise OSError("We couldn't connect to the hub.\nCheck your connection.")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError) as caught:
        build_encoder("resnet18", example=torch.zeros(1, 3, 64, 64), pretrained=True)
    assert (
        str(caught.value)
        == "encoder.pretrained: no weights of resnet18 could be had from the hub (We couldn't"
        " connect to the hub.); without a connection give a file instead: --set"
        ' encoder.weights=FILE.safetensors (made where there is one: python -c "import timm; from'
        " safetensors.torch import save_file; save_file(timm.create_model('resnet18',"
        " pretrained=True).state_dict(), 'FILE.safetensors')\")"
    )


# ---- the small stem
# ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "side"), [(32, 16), (40, 20), (41, 11), (64, 16)])
def test_up_to_40_px_the_stem_keeps_the_resolution_and_above_it_is_the_networks_own(
    size: int, side: int
) -> None:
    encoder = build_encoder("mobilenetv3_small_050", example=torch.zeros(1, 3, size, size))
    assert bool(encoder.stem) is (size <= 40)
    sides: list[int] = []
    encoder.net.get_submodule("blocks.0").register_forward_hook(
        lambda _module, _in, out: sides.append(out.shape[-1])
    )
    encoder.eval()(rows(size))
    assert sides == [side]


def test_the_small_stem_of_a_resnet_is_3x3_with_stride_1_and_without_max_pool(
    small_resnet: Encoder, own_resnet: Encoder
) -> None:
    assert own_resnet.stem == ()
    assert small_resnet.stem == (
        "conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)",
        "maxpool = nn.Identity()",
    )
    assert small_resnet.feature_map(rows(32)).shape == (2, 512, 4, 4)
    assert own_resnet.feature_map(rows(64)).shape == (2, 512, 2, 2)
    weight = small_resnet.net.get_submodule("conv1").weight.detach()
    assert weight.shape == (64, 3, 3, 3)
    # Kaiming: none was given
    assert float(weight.std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)


def test_the_users_choice_of_stem_stands_at_every_size() -> None:
    name = "mobilenetv3_small_050"
    assert build_encoder(name, example=torch.zeros(1, 3, 32, 32), stem="own").stem == ()
    assert build_encoder(name, example=torch.zeros(1, 3, 64, 64), stem="small").stem == (
        "conv_stem = nn.Conv2d(3, 16, 3, stride=1, padding=1, bias=False)",
    )


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050"])
def test_the_edits_applied_to_a_fresh_timm_network_make_the_same_network(
    name: str, small_resnet: Encoder
) -> None:
    encoder = (
        small_resnet
        if name == "resnet18"
        else build_encoder(name, example=torch.zeros(1, 3, 32, 32))
    )
    encoder.eval()
    assert encoder.stem
    fresh = timm.create_model(name, num_classes=0, **encoder.create)
    for edit in encoder.stem:
        path, _, expression = edit.partition(" = ")
        fresh.set_submodule(path, eval(expression, {"nn": nn}))
    fresh.load_state_dict(encoder.net.state_dict())
    assert torch.allclose(fresh.eval()(rows(32)), encoder(rows(32)), atol=1e-5)


def test_the_stem_of_conv4_is_the_small_one_already() -> None:
    assert build_encoder("conv4", example=torch.zeros(1, 3, 64, 64), stem="small").stem == ()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_networks_without_a_stem_to_edit_keep_theirs_and_refuse_small(name: str) -> None:
    assert build_encoder(name, example=torch.zeros(1, 3, 32, 32)).stem == ()
    with pytest.raises(
        UserError, match=rf"encoder\.stem: {name} has no stem that could be made small"
    ):
        build_encoder(name, example=torch.zeros(1, 3, 32, 32), stem="small")


def test_an_edit_of_the_stride_alone_keeps_the_weights_that_were_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[nn.Module] = []
    create = timm.create_model

    def remember(*args: Any, **given: Any) -> nn.Module:
        net: nn.Module = create(*args, **given)
        made.append(net.get_submodule("conv_stem"))
        return net

    monkeypatch.setattr(timm, "create_model", remember)
    encoder = build_encoder("mobilenetv3_small_050", example=torch.zeros(1, 3, 32, 32))
    new = encoder.net.get_submodule("conv_stem")
    assert made[0].stride == (2, 2)
    assert new.stride == (1, 1)
    assert torch.equal(new.weight, made[0].weight)


# ---- weights from files
# ------------------------------------------------------------------------------------


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
    assert load_weights(target, path) == ((), ())
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
    state["head.bias"] = state["head.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pt")
    message = refusal(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), tmp_path / "w.pt")
    assert (
        "does not fit conv4: 1 missing, 1 of another shape, 2 unknown (the first: 1.weight)"
        in message
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


class Mischief:
    """What a hostile file unpickles to: a call."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("how", ["pickle", "torch.save"])
def test_code_in_a_file_is_refused_and_never_runs(tmp_path: Path, how: str) -> None:
    path, touched = tmp_path / "w.pt", tmp_path / "touched"
    content = {
        **build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).net.state_dict(),
        "extra": Mischief(touched),
    }
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    message = refusal(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), path)
    assert "holds more than weights, and is not opened; save it as .safetensors" in message
    assert not touched.exists()
    with path.open("rb") as file:  # the proof that it was armed
        torch.load(file, weights_only=False) if how == "torch.save" else pickle.load(file)
    assert touched.exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    state = {
        k: v.contiguous()
        for k, v in build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).net.state_dict().items()
    }
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    save_file(state, whole) if suffix == "safetensors" else torch.save(state, whole)
    content = whole.read_bytes()
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))
    for kept in (0, 1, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        assert "\n" not in refusal(encoder, path)


def test_random_bytes_are_refused_whatever_they_are(tmp_path: Path) -> None:
    """Pickles are programs: 300 short random ones once gave IndexError or KeyError 15 times."""
    chance = random.Random(0)
    encoder = Encoder(Plain(), example=torch.zeros(1, 3, 8, 8), architecture="Plain")
    path = tmp_path / "random.pt"
    for _ in range(150):
        path.write_bytes(chance.randbytes(chance.randrange(60)))
        refusal(encoder, path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))
    for path in (tmp_path / "none.pt", tmp_path / "none.safetensors", tmp_path):
        assert "cannot be read" in refusal(encoder, path)


def test_a_file_that_holds_no_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    for content in (torch.zeros(3), [torch.zeros(3)], {"a": 1}, {"state_dict": {"a": [1]}}):
        torch.save(content, path)
        assert "holds no state dict of tensors" in refusal(
            build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), path
        )


def test_nothing_of_building_is_said_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    build_encoder("mobilenetv3_small_050", example=torch.zeros(1, 3, 32, 32))
    assert capsys.readouterr() == ("", "")
