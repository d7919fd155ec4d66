"""What encoder.weights names, before weights are read: files, runs, folders of timm's, the hub."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import SafetensorError
from timm.models import _hub

from nearfar.core.errors import NearfarError, UserError
from nearfar.nn import given as given_module
from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.given import GivenWeights, weights_named
from nearfar.nn.published import Published
from nearfar.nn.timm_config import timm_config
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import EncoderFile

OLDER = Path(__file__).parents[1] / "run_folder" / "run_0_1_0"
SEEN = Published(48, 0.9, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.fixture(scope="module")
def timms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as timm writes it, with a classifier."""
    folder = tmp_path_factory.mktemp("timms")
    net = timm.create_model("resnet10t", num_classes=5)
    config = {"input_size": (3, 176, 176), "mean": (0.5,) * 3, "crop_pct": 0.8}
    timm.models.save_for_hf(net, folder, safe_serialization=True)
    content = json.loads((folder / "config.json").read_text())
    content["pretrained_cfg"].update(config)
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def run(folder: Path, name: str, side: int, **create: Any) -> tuple[Encoder, RunFolder]:
    """A run's folder with an encoder of that name."""
    encoder = build_encoder(name, example=torch.zeros(1, 3, side, side), create=create)
    about = EncoderFile(
        architecture=name, built_by=encoder.built_by, create=encoder.create, stem=encoder.stem,
        width=encoder.width, input_size=SEEN.size, eval_crop=SEEN.crop, class_names=("a",),
        interpolation=SEEN.interpolation, mean=SEEN.mean, std=SEEN.std,
    )  # fmt: skip
    found = RunFolder(folder)
    found.make()
    found.write_config({"encoder": {"name": name}})
    found.write_encoder(encoder.net.state_dict(), about, timm_config(encoder, SEEN))
    return encoder, found


def loaded(given: GivenWeights, side: int) -> Encoder:
    assert given.name is not None
    encoder = build_encoder(
        given.name,
        example=torch.zeros(1, 3, side, side),
        stem=given.stem,
        create=given.arguments,
    )
    given.load(encoder)
    return encoder


def same(one: Encoder, other: Encoder) -> bool:
    a, b = one.net.state_dict(), other.net.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("prefix", ["", "local-dir:"])
def test_a_folder_of_timms_says_how_its_network_is_built_and_sees(timms: Path, prefix: str) -> None:
    given = weights_named(f"{prefix}{timms}")
    assert given.name == "resnet10t"
    assert given.arguments == {"in_chans": 3, "global_pool": "avg"}
    assert given.seen is not None
    assert (given.seen.size, given.seen.mean, given.seen.crop) == (176, (0.5, 0.5, 0.5), 0.8)
    encoder = loaded(given, 64)
    theirs = timm.create_model(f"local-dir:{timms}", pretrained=True, num_classes=0).state_dict()
    assert all(torch.equal(theirs[name], v) for name, v in encoder.net.state_dict().items())


def test_the_hub_is_asked_for_the_same_two_files(
    timms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repo_id: str, filename: str, **_: Any) -> str:
        asked.append((repo_id, filename))
        return str(timms / filename)

    monkeypatch.setattr(_hub, "hf_hub_download", download)
    given = weights_named("hf-hub:somebody/leaves")
    assert (given.name, given.file) == ("resnet10t", None)
    assert same(loaded(given, 64), loaded(weights_named(str(timms)), 64))
    assert asked == [("somebody/leaves", "config.json"), ("somebody/leaves", "model.safetensors")]


def test_of_the_hub_tensors_alone_are_read(timms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = _hub.load_state_dict_from_hf
    monkeypatch.setattr(
        _hub, "hf_hub_download", lambda *a, **of: str(timms / (of.get("filename") or a[1]))
    )
    how: list[Any] = []

    def spied(name: str, **given_as: Any) -> Any:
        how.append(given_as)
        return read(name, filename="model.safetensors")

    monkeypatch.setattr(given_module, "load_state_dict_from_hf", spied)
    loaded(weights_named("hf-hub:somebody/leaves"), 64)
    assert how == [{"weights_only": True}]


def test_a_hub_that_cannot_be_reached_is_the_users_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: Any, **__: Any) -> str:
        raise OSError("no connection\nand more")

    monkeypatch.setattr(_hub, "hf_hub_download", offline)
    with pytest.raises(UserError, match=r"hf-hub:a/b could not be had \(no connection\)$"):
        weights_named("hf-hub:a/b")


@pytest.mark.parametrize(
    ("name", "side", "create"),
    [
        ("conv4", 16, {}),
        ("resnet10t", 32, {}),
        ("resnet10t", 48, {"num_classes": 6}),
        ("vit_tiny_patch16_224", 32, {"depth": 2}),
    ],
)
@pytest.mark.parametrize("part", ["", "encoder"])
def test_a_run_gives_its_encoder_as_it_was_built(
    name: str, side: int, create: dict[str, Any], part: str, tmp_path: Path
) -> None:
    encoder, folder = run(tmp_path / "run", name, side, **create)
    given = weights_named(str(folder.path / part))
    assert (given.name, given.seen) == (name, SEEN)
    again = loaded(given, side)
    assert (again.create, again.stem) == (encoder.create, encoder.stem)
    assert same(encoder, again)


def test_a_small_stem_stays_small_at_another_size(tmp_path: Path) -> None:
    encoder, folder = run(tmp_path / "run", "resnet10t", 32)
    assert encoder.stem
    assert same(encoder, loaded(weights_named(str(folder.path)), 64))


def test_a_run_of_0_1_0_gives_its_encoder_too(tmp_path: Path) -> None:
    given = weights_named(str(shutil.copytree(OLDER, tmp_path / "run")))
    state = RunFolder(OLDER).read_encoder()
    found = loaded(given, 8).net.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in state.items())


def test_of_a_file_nothing_is_known_but_where_it_is() -> None:
    assert weights_named("~/w.pth") == GivenWeights("~/w.pth", Path("~/w.pth").expanduser())


def refusal(path: Path) -> str:
    with pytest.raises(NearfarError) as caught:
        weights_named(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_holds_no_weights_is_refused_by_what_it_lacks(
    timms: Path, tmp_path: Path
) -> None:
    assert "is a folder without config.json; want a file, a run, or" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "cut short" in refusal(tmp_path)
    content = json.loads((timms / "config.json").read_text())
    for changed, said in (
        ({"architecture": "rose"}, "timm has no network rose"),
        ({"pretrained_cfg": {"mean": 5}}, "'int' object is not iterable"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**content, **changed}))
        assert said in refusal(tmp_path)
    inside = tmp_path / "comparison" / "supcon" / "seed0"
    run(inside, "conv4", 8)
    assert f"such as {inside}" in refusal(tmp_path / "comparison")


def test_what_would_load_something_else_is_not_asked_of_timm(timms: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(timms, tmp_path / "folder"))
    content = json.loads((folder / "config.json").read_text())
    content["model_args"] = {"checkpoint_path": "/etc/passwd", "pretrained_strict": False}
    (folder / "config.json").write_text(json.dumps(content))
    assert weights_named(str(folder)).arguments == {}


def test_the_users_own_module_is_to_be_given_by_the_user(tmp_path: Path) -> None:
    _, folder = run(tmp_path / "run", "conv4", 8)
    about = folder.read_encoder_file()
    folder.write_encoder_file(about.model_copy(update={"built_by": "user", "architecture": "Mine"}))
    assert "is of your own Mine" in refusal(folder.path)


@pytest.mark.parametrize("error", [pickle.UnpicklingError("code in it"), SafetensorError("cut")])
def test_a_hub_that_gives_something_else_is_the_users_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(given_module, "load_state_dict_from_hf", broken)
    given = GivenWeights("hf-hub:somebody/leaves", None)
    with pytest.raises(UserError, match="somebody/leaves could not be had"):
        given.load(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)))


@pytest.mark.parametrize("content", [{"pretrained_cfg": "x"}, {"model_args": [1]}])
def test_a_configuration_that_is_none_of_timms_is_the_users_error(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    text = json.dumps({"architecture": "resnet10t", **content})
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="could not be had"):
        weights_named(str(tmp_path))
