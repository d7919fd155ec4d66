"""The lines that load an encoder without nearfar."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from report_run_folders import CONV4

from nearfar.core.errors import RunError
from nearfar.report import loading_lines

IMPORTED = {"np": np, "Image": Image, "ImageOps": ImageOps}
RESNET = {
    "architecture": "resnet18",
    "library": "timm",
    "width": 512,
    "input_size": 32,
    "create": {"drop_rate": 0.0},
    "stem": [
        "conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)",
        "maxpool = nn.Identity()",
    ],
    "mean": [0.49, 0.48, 0.45],
    "std": [0.25, 0.24, 0.26],
    "eval_crop": 0.9,
    "interpolation": "bicubic",
    "class_names": [],
}


def test_the_lines_for_conv4_load_its_weights_and_give_its_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import save_file
    from torch import nn

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate([(3, 8), (8, 16), (16, 32), (32, 64)]):
        pool = nn.AvgPool2d(2) if i < 3 else nn.AdaptiveAvgPool2d(1)
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), pool]
    trained = nn.Sequential(*layers, nn.Flatten())
    trained(torch.randn(16, 3, 8, 8))  # moves the running statistics away from their start
    (tmp_path / "encoder").mkdir()
    save_file(trained.eval().state_dict(), tmp_path / "encoder" / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, nn.Module] = {}
    exec(loading_lines(CONV4), names)
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(names["encoder"](images), trained(images))
    assert not names["encoder"].training


def test_the_lines_for_a_timm_net_load_its_weights_stem_edit_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch
    from safetensors.torch import save_file
    from torch import nn

    trained = timm.create_model("resnet18", num_classes=0)
    trained.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    trained.maxpool = nn.Identity()
    (tmp_path / "encoder").mkdir()
    save_file(trained.eval().state_dict(), tmp_path / "encoder" / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, nn.Module] = {}
    exec(loading_lines(RESNET), names)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(names["encoder"](images), trained(images))


@pytest.mark.parametrize("name", ["resnet8", "resnet32", "resnet56"])
def test_the_lines_for_the_small_resnets_give_their_outputs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import save_file

    from nearfar.nn.building import build_encoder

    encoder = build_encoder(name, example=torch.zeros(1, 3, 16, 16))
    with torch.no_grad():
        encoder.train()(torch.randn(4, 3, 16, 16))
    state = {key: value.contiguous() for key, value in encoder.eval().net.state_dict().items()}
    (tmp_path / "encoder").mkdir()
    save_file(state, tmp_path / "encoder" / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(loading_lines(CONV4 | {"architecture": name}), names)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        theirs = names["encoder"].to(memory_format=torch.channels_last)
        assert torch.equal(
            theirs(images.contiguous(memory_format=torch.channels_last)), encoder(images)
        )


def test_a_last_layer_that_was_kept_stands_in_the_lines() -> None:
    lines = loading_lines(RESNET | {"create": {"num_classes": 1000}})
    assert "encoder = timm.create_model('resnet18', num_classes=1000)" in lines


def test_what_timm_has_is_loaded_by_one_line_where_the_folder_is_in_its_form() -> None:
    plain = RESNET | {"stem": []}
    lines = loading_lines(plain, "a'b/encoder/model.safetensors")
    line = """encoder = timm.create_model("local-dir:a'b/encoder", pretrained=True).eval()"""
    assert line in lines.splitlines()
    assert "load_file" not in lines and "from torch import nn" not in lines
    for about, weights in ((plain, "encoder.safetensors"), (RESNET, "encoder/model.safetensors")):
        lines = loading_lines(about, weights)
        assert "local-dir" not in lines
        assert "encoder = timm.create_model('resnet18', num_classes=0, drop_rate=0.0)" in lines
        assert f"encoder.load_state_dict(load_file('{weights}'))" in lines


@pytest.mark.parametrize("about", [RESNET, CONV4])
@pytest.mark.parametrize("turn", [1, 6])
def test_the_lines_make_the_input_that_evaluations_see(
    about: dict[str, Any], turn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from nearfar.data.center import CenterSquare
    from nearfar.data.decoding import evaluation_pixels
    from nearfar.data.samples import EvaluationView

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (160, 213, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save("photo.png", exif=exif)
    lines = loading_lines(about)
    names: dict[str, Any] = {}
    exec(lines[lines.index("def to_input") :], {**IMPORTED, "torch": torch}, names)
    size, crop, how = about["input_size"], about["eval_crop"], about.get("interpolation")
    center = CenterSquare(size, crop, how or "bilinear")
    seen = evaluation_pixels(Path("photo.png"), center)
    assert isinstance(seen, np.ndarray)
    view = EvaluationView(center, tuple(about["mean"]), tuple(about["std"]))
    ours = view.normalized(torch.from_numpy(seen.copy())[None])
    theirs = names["to_input"](Image.open("photo.png"))
    assert torch.allclose(theirs, ours, atol=1e-5)


def test_a_module_of_the_users_own_is_asked_for_by_name() -> None:
    lines = loading_lines(
        RESNET | {"library": "user", "architecture": "Mine\nimport os", "stem": []}
    )
    assert "build it first" in lines
    assert "import os" not in lines.splitlines()
    assert "load_state_dict(load_file('encoder/model.safetensors'))" in lines


@pytest.mark.parametrize(
    "stem",
    [
        "conv1 = __import__('os').system('true')",
        "conv1 = nn.Conv2d(open('x'))",
        "conv1 = nn.Identity(); import os",
        "conv1 = nn.Identity()\nimport os",
        "conv1[print(1)] = nn.Identity()",
        "print(1)",
        "conv1 = os.system('true')",
        "conv1 = (",
    ],
)
def test_a_stem_line_that_is_more_than_a_layer_is_refused(stem: str) -> None:
    with pytest.raises(RunError, match=r"encoder: stem: want lines such as"):
        loading_lines(RESNET | {"stem": [stem]})


def test_a_name_cannot_break_out_of_its_literal() -> None:
    lines = loading_lines(RESNET | {"architecture": "x'); import os; ('", "create": {"a": "'\n"}})
    compile(lines, "lines", "exec")
    assert re.findall(r"^import \w+", lines, re.M) == [
        "import numpy",
        "import timm",
        "import torch",
    ]
    with pytest.raises(RunError, match="argument names"):
        loading_lines(RESNET | {"create": {"a=1, b": 2}})


def test_an_object_without_its_keys_is_an_error_that_names_the_key() -> None:
    with pytest.raises(RunError, match=r"encoder: input_size: Field required"):
        loading_lines({key: value for key, value in CONV4.items() if key != "input_size"})
