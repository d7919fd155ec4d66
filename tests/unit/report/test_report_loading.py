"""The lines that load an encoder without nearfar."""

import re
from pathlib import Path

import pytest
from report_run_folders import CONV4

from nearfar.core.errors import RunError
from nearfar.report import loading_lines

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
    "store_side": 36,
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
    save_file(trained.eval().state_dict(), tmp_path / "encoder.safetensors")
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
    save_file(trained.eval().state_dict(), tmp_path / "encoder.safetensors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, nn.Module] = {}
    exec(loading_lines(RESNET), names)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(names["encoder"](images), trained(images))


def test_the_lines_state_the_evaluation_transform() -> None:
    lines = loading_lines(RESNET)
    assert "centered square of 0.9 times the shorter side" in lines
    assert "resize it to 32 x 32 px" in lines
    assert "mean = (0.49, 0.48, 0.45)" in lines
    assert "the largest centered square" in loading_lines(CONV4)


def test_a_module_of_the_users_own_is_asked_for_by_name() -> None:
    lines = loading_lines(
        RESNET | {"library": "user", "architecture": "Mine\nimport os", "stem": []}
    )
    assert "build it first" in lines
    assert "import os" not in lines.splitlines()
    assert 'load_state_dict(load_file("encoder.safetensors"))' in lines


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
    with pytest.raises(RunError, match=r"encoder\.json: stem: want lines such as"):
        loading_lines(RESNET | {"stem": [stem]})


def test_a_name_cannot_break_out_of_its_literal() -> None:
    lines = loading_lines(RESNET | {"architecture": "x'); import os; ('", "create": {"a": "'\n"}})
    compile(lines, "lines", "exec")
    assert re.findall(r"^import \w+", lines, re.M) == ["import timm"]
    with pytest.raises(RunError, match="argument names"):
        loading_lines(RESNET | {"create": {"a=1, b": 2}})


def test_an_object_without_its_keys_is_an_error_that_names_the_key() -> None:
    with pytest.raises(RunError, match=r"encoder\.json: input_size: Field required"):
        loading_lines({key: value for key, value in CONV4.items() if key != "input_size"})
