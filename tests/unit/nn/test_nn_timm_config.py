"""The folder of an encoder opens in timm alone, bit for bit, or not at all."""

import json
from pathlib import Path

import pytest
import timm
import torch
from nn_modules import Plain
from safetensors.torch import save_file

from nearfar.nn.building import build_encoder, own_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.published import Published
from nearfar.nn.timm_config import timm_config

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def written(encoder: Encoder, folder: Path) -> str:
    """What timm calls the folder."""
    seen = Published(encoder.example.shape[-1], 0.9, "bicubic", MEAN, STD)
    (folder / "config.json").write_text(json.dumps(timm_config(encoder, seen)))
    state = {name: value.contiguous() for name, value in encoder.net.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    return f"local-dir:{folder}"


def moved(encoder: Encoder) -> Encoder:
    """With running statistics that are not those of the start."""
    side = encoder.example.shape[-1]
    with torch.no_grad():
        encoder.train()(torch.randn(4, 3, side, side))
    return encoder.eval()


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("resnet10t", 64),
        ("resnet18.tv_in1k", 64),
        ("mobilenetv3_small_050", 64),
        ("tf_efficientnet_lite0", 64),
        ("convnext_atto", 32),
        ("vit_tiny_patch16_224", 32),
        ("deit_tiny_distilled_patch16_224.fb_in1k", 64),
    ],
)
def test_what_timm_has_opens_there_with_the_same_features(
    name: str, side: int, tmp_path: Path
) -> None:
    encoder = moved(build_encoder(name, example=torch.zeros(1, 3, side, side)))
    assert encoder.stem == ()
    net = timm.create_model(written(encoder, tmp_path), pretrained=True).eval()
    rows = torch.randn(3, 3, side, side)
    order = encoder.memory_format
    with torch.no_grad():
        theirs = net.to(memory_format=order)(rows.contiguous(memory_format=order))
        assert torch.equal(theirs, encoder(rows))


def test_timm_knows_how_the_encoder_looks_at_an_image(tmp_path: Path) -> None:
    encoder = build_encoder("resnet10t", example=torch.zeros(1, 3, 64, 64))
    net = timm.create_model(written(encoder, tmp_path), pretrained=True)
    found = timm.data.resolve_model_data_config(net)
    assert tuple(found["input_size"]) == (3, 64, 64)
    assert (found["mean"], found["std"]) == (list(MEAN), list(STD))
    assert (found["crop_pct"], found["interpolation"]) == (0.9, "bicubic")


def test_a_new_classifier_stands_on_the_encoder_s_weights(tmp_path: Path) -> None:
    encoder = build_encoder("resnet10t", example=torch.zeros(1, 3, 64, 64))
    net = timm.create_model(written(encoder, tmp_path), pretrained=True, num_classes=7).eval()
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    own = net.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in encoder.net.state_dict().items())


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "conv4", "user"])
def test_what_timm_lacks_is_an_error_there_and_never_another_network(
    name: str, tmp_path: Path
) -> None:
    """An edit of the stride alone leaves all shapes as they are: the weights would fit."""
    example = torch.zeros(1, 3, 32, 32)
    own = name == "user"
    encoder = own_encoder(Plain(), example) if own else build_encoder(name, example=example)
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model(written(encoder, tmp_path), pretrained=True)
