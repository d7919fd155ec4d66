"""Encoders by name: the small-image stem, smaller patches, and no surprises from the hub."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from nearfar.config.encoder import OWN_NETWORKS
from nearfar.core.errors import UserError
from nearfar.nn.building import OWN, build_encoder, encoder_names
from nearfar.nn.encoders import Encoder
from nearfar.nn.published import published


def rows(size: int, n: int = 2) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


# ---- by name
# -----------------------------------------------------------------------------------------------


def test_names_begin_with_nearfars_own_and_hold_timms() -> None:
    names = encoder_names()
    assert names[:4] == ["conv4", "resnet8", "resnet32", "resnet56"]
    assert len(set(names)) == len(names)
    assert tuple(OWN) == OWN_NETWORKS
    assert len(names) > 500
    assert {"resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224"} <= set(names)


def test_an_encoder_knows_how_it_was_made(own_resnet: Encoder) -> None:
    four, resnet = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), own_resnet
    made = (four.architecture, four.built_by, four.create, four.stem)
    assert made == ("conv4", "nearfar", {}, ())
    assert four.example.shape == (1, 3, 8, 8)
    assert (resnet.architecture, resnet.built_by, resnet.create, resnet.stem) == (
        "resnet18",
        "timm",
        {},
        (),
    )
    assert resnet.width == 512


def test_a_network_of_a_fixed_size_is_built_for_the_size_that_is_asked() -> None:
    encoder = build_encoder("vit_tiny_patch16_224", example=torch.zeros(1, 3, 64, 64))
    assert encoder.create == {"img_size": 64}
    assert encoder.width == 192
    assert encoder(rows(64)).shape == (2, 192)


@pytest.mark.parametrize(("size", "patch"), [(40, 4), (32, 4), (28, 4), (24, 2), (8, 1)])
def test_a_transformer_for_small_images_cuts_patches_that_leave_seven_a_side(
    size: int, patch: int
) -> None:
    name = "vit_tiny_patch16_224"
    encoder = build_encoder(name, example=torch.zeros(1, 3, size, size), create={"depth": 2})
    assert encoder.create["patch_size"] == patch
    assert encoder.net.get_parameter("pos_embed").shape[1] == 1 + (size // patch) ** 2
    again = build_encoder(
        name, example=torch.zeros(1, 3, size, size), stem="own", create=encoder.create
    )
    assert again.net.state_dict().keys() == encoder.net.state_dict().keys()


def test_patches_that_are_asked_for_stand_and_enough_patches_stay() -> None:
    example = torch.zeros(1, 3, 32, 32)
    asked = build_encoder("vit_tiny_patch16_224", example=example, create={"patch_size": 8})
    assert asked.net.get_parameter("pos_embed").shape[1] == 1 + 16
    own = build_encoder("vit_tiny_patch16_224", example=example, stem="own")
    assert own.create == {"img_size": 32}
    assert build_encoder("resnet10t", example=example).create == {}


def test_an_argument_that_a_network_does_not_have_is_named_as_the_setting() -> None:
    with pytest.raises(UserError, match=r"encoder\.patch_size: resnet10t has none to be set"):
        build_encoder("resnet10t", example=torch.zeros(1, 3, 64, 64), create={"patch_size": 8})


def test_the_last_layer_of_a_timm_network_can_be_the_representation() -> None:
    encoder = build_encoder(
        "mobilenetv3_small_050", example=torch.zeros(1, 3, 64, 64), create={"num_classes": 10}
    )
    assert (encoder.width, encoder.create) == (10, {"num_classes": 10})
    assert encoder.feature_map(rows(64)).ndim == 4


def test_what_a_network_does_not_take_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"encoder\.name: resnet18 cannot be built for 64 px"):
        build_encoder("resnet18", example=torch.zeros(1, 3, 64, 64), create={"petals": 5})


def test_a_size_that_a_network_cannot_take_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"encoder\.name: conv4: cannot take images of 4 x 4 px"):
        build_encoder("conv4", example=torch.zeros(1, 3, 4, 4))
    with pytest.raises(UserError, match=r"encoder\.name: vit_tiny_patch16_224"):
        build_encoder("vit_tiny_patch16_224", example=torch.zeros(1, 3, 8, 8), stem="own")


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


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "test_resnet"])
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
    for edit in encoder.stem:  # as the report prints them
        exec(f"encoder.{edit}", {"nn": nn, "encoder": fresh})
    fresh.load_state_dict(encoder.net.state_dict())
    assert torch.allclose(fresh.eval()(rows(32)), encoder(rows(32)), atol=1e-5)


def test_the_stem_of_conv4_is_the_small_one_already() -> None:
    assert build_encoder("conv4", example=torch.zeros(1, 3, 64, 64), stem="small").stem == ()


@pytest.mark.parametrize(("name", "side"), [("vit_tiny_patch16_224", 112), ("convnext_atto", 32)])
def test_networks_without_a_stem_to_edit_keep_theirs_and_refuse_small(name: str, side: int) -> None:
    assert build_encoder(name, example=torch.zeros(1, 3, side, side)).stem == ()
    with pytest.raises(
        UserError, match=rf"encoder\.stem: {name} has no stem that could be made small"
    ):
        build_encoder(name, example=torch.zeros(1, 3, side, side), stem="small")


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


def test_nothing_of_building_is_said_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    build_encoder("mobilenetv3_small_050", example=torch.zeros(1, 3, 32, 32))
    assert capsys.readouterr() == ("", "")
