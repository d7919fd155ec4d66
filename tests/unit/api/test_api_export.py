"""Networks of timm's on their way to other programs."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from nearfar.api.export import export
from nearfar.nn.building import build_encoder
from nearfar.nn.published import Published
from nearfar.nn.timm_config import timm_config
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import EncoderFile

SEEN = Published(48, 0.9, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def run(path: Path, name: str, side: int, **create: Any) -> RunFolder:
    """A run's folder with an encoder of that name, without data and classifier."""
    encoder = build_encoder(name, example=torch.zeros(1, 3, side, side), create=create)
    about = EncoderFile(
        architecture=name, built_by=encoder.built_by, create=encoder.create, stem=encoder.stem,
        width=encoder.width, input_size=side, eval_crop=SEEN.crop, class_names=("a",),
        interpolation=SEEN.interpolation, mean=SEEN.mean, std=SEEN.std,
    )  # fmt: skip
    folder = RunFolder(path)
    folder.make()
    folder.write_config({"data": {"source": "gone"}})
    folder.write_encoder(encoder.net.state_dict(), about, timm_config(encoder, SEEN))
    return folder


def test_the_line_for_timm_opens_the_run_and_gives_the_same_numbers(tmp_path: Path) -> None:
    folder = run(tmp_path / "it's a run", "resnet10t", 48)
    done = export(folder.path, "timm")
    assert done["out"] == str(folder.path / "encoder")
    assert done["max_difference"] == 0
    names: dict[str, Any] = {"timm": timm}
    exec(done["line"], names)
    found = names["encoder"].state_dict()
    assert all(torch.equal(value, found[key]) for key, value in folder.read_encoder().items())


@pytest.mark.parametrize(
    ("to", "name", "create"),
    [
        ("onnx", "resnet10t", {}),
        ("onnx", "vit_tiny_patch16_224", {"depth": 1}),
        ("torch", "vit_tiny_patch16_224", {"depth": 1}),
        ("torch", "resnet8", {}),
    ],
)
def test_networks_with_small_stems_and_transformers_are_written(
    to: str, name: str, create: dict[str, Any], tmp_path: Path
) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    folder = run(tmp_path / "run", name, 32, **create)
    done = export(folder.path, to, quiet=True)
    assert done["classifier"] is None
    assert done["images"] == "made images"
    assert done["max_difference"] < 1e-4
    assert Path(done["out"]).parent == folder.path
