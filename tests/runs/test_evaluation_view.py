"""What evaluations see of photographs: a run, its commands and its printed lines see the same, and
what Pillow's own resize shows.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import nearfar
from nearfar.nn.building import build_encoder
from nearfar.report import loading_lines


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of twelve JPEGs with edges and detail, every third of them upright."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    random = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            width, height = (160, 213) if number % 3 == 0 else (213, 160)
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            for _ in range(100):
                w, h = (2 ** random.uniform(1, 6, 2)).astype(int)
                x, y = (random.uniform(0, 1, 2) * (width, height)).astype(int)
                pixels[y : y + h, x : x + w] = random.integers(0, 256, 3)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.jpg", quality=90)
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that timm knows, which it publishes with a bicubic crop of .875."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build_encoder("mobilenetv3_small_050", example=torch.zeros(1, 3, 48, 48))
    from safetensors.torch import save_file

    save_file(encoder.net.state_dict(), path)
    return path


@pytest.fixture(scope="module", params=["conv4", "given weights"])
def run(
    request: pytest.FixtureRequest,
    pictures: Path,
    weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    given = {} if request.param == "conv4" else {"encoder.weights": str(weights)}
    return nearfar.train(
        pictures,
        method="cross_entropy",
        encoder="mobilenetv3_small_050" if given else "conv4",
        out=tmp_path_factory.mktemp("runs") / "run",
        smoke=True,
        quiet=True,
        **{"data.size": 48, "train.batch_size": 8, **given},
    ).path


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def by_pillow(image: Image.Image, about: dict[str, Any]) -> np.ndarray:
    side = round(about["eval_crop"] * min(image.size))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    how = Image.Resampling[about["interpolation"].upper()]
    return np.asarray(image.resize((about["input_size"],) * 2, how))


def test_a_run_records_how_it_looks_at_an_image(run: Path) -> None:
    about = json.loads((run / "encoder/config.json").read_text())["nearfar"]
    given = about["architecture"] != "conv4"
    assert about["input_size"] == 48
    assert (about["eval_crop"], about["interpolation"]) == (
        (0.875, "bicubic") if given else (1.0, "bilinear")
    )
    assert f"eval_crop = {about['eval_crop']}" in (run / "run.toml").read_text()


def test_the_run_its_model_its_commands_and_its_printed_lines_see_what_pillow_shows(
    run: Path,
    pictures: Path,
    tmp_path: Path,
    nearfar_command: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, about = (
        nearfar.load(run),
        json.loads((run / "encoder/config.json").read_text())["nearfar"],
    )
    with np.load(run / "embeddings.npz") as file:
        then, paths = file["embeddings"], [pictures / path for path in file["paths"]]
    images = [opened(path) for path in paths]
    assert {image.size for image in images} == {(213, 160), (160, 213)}
    pixels = np.stack([by_pillow(image, about) for image in images])
    shown = model.view.normalized(torch.from_numpy(pixels))
    with torch.no_grad():
        wanted = model.encoder(shown).numpy()
    np.testing.assert_allclose(model.embed(paths), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.embed(paths[3:4]), wanted[3:4], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.embed(images), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(then, wanted, rtol=1e-2, atol=1e-2)  # perhaps in bfloat16
    assert nearfar_command("embed", run, pictures, "--out", tmp_path / "e.npz").code == 0
    with np.load(tmp_path / "e.npz") as file:
        row = {path: at for at, path in enumerate(file["paths"].tolist())}
        found = file["embeddings"][[row[str(path.relative_to(pictures))] for path in paths]]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    if about["library"] == "timm":
        theirs = timm.create_model(f"local-dir:{run / 'encoder'}", pretrained=True).eval()
        with torch.no_grad():
            assert torch.equal(theirs(shown), model.encoder(shown))
    monkeypatch.chdir(run)
    names: dict[str, Any] = {}
    exec(loading_lines(about), names)
    with torch.no_grad():
        lines = torch.cat([names["encoder"](names["to_input"](image)) for image in images])
    np.testing.assert_allclose(lines.numpy(), wanted, rtol=1e-4, atol=1e-4)
