"""Folders of pictures as people have them, given to a finished run."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nearfar


def test_a_turned_picture_is_the_same_as_path_and_as_opened_image(tiny_run, tmp_path):
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    tag = Image.Exif()
    tag[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=tag)
    upright.save(tmp_path / "upright.png")
    model = nearfar.load(tiny_run)
    paths = [tmp_path / "turned.png", tmp_path / "upright.png"]
    from_paths = model.embed(paths)
    from_images = model.embed([Image.open(path) for path in paths])
    np.testing.assert_array_equal(from_paths, from_images)
    np.testing.assert_array_equal(from_images[0], from_images[1])
    shares = model.predict([Image.open(path) for path in paths]).probabilities
    np.testing.assert_array_equal(shares[0], shares[1])


SUFFIXES = (".jpg", ".jfif", ".jpe", ".JPG", ".pgm", ".tga", ".webp", "")
FORMATS = {".pgm": "PPM", ".tga": "TGA", ".webp": "WEBP"}


def picture(number: int) -> Image.Image:
    """A picture that no other number has."""
    return Image.fromarray(
        np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    )


@pytest.fixture
def littered(tmp_path) -> Path:
    """Pictures of every ending and of none, between thumbnails and what systems leave behind."""
    root = tmp_path / "album"
    for number, suffix in enumerate(SUFFIXES * 2):
        path = root / ("daisy", "rose")[number // len(SUFFIXES)] / f"{number:02d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = picture(number).convert("L") if suffix == ".pgm" else picture(number)
        image.save(path, FORMATS.get(suffix, "JPEG"))
    for name in ("@eaDir/T.jpg", "daisy/.ipynb_checkpoints/0-checkpoint.jpg", ".hidden/1.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        picture(0).save(root / name)
    for name in (".DS_Store", "daisy/Thumbs.db", "__MACOSX/daisy/._000.jpg", "daisy/._00.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\0\5\x16\7" * 50)
    return root


def test_predict_and_embed_see_the_images_that_training_sees(
    tiny_run, littered, tmp_path, nearfar_command
):
    listed = {str(littered / path) for path in nearfar.data.open_source(littered).paths}
    ended = nearfar_command("predict", tiny_run, littered, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert {row["path"] for row in found["predictions"]} == listed
    assert len(found["predictions"]) == 16
    assert found["unreadable"] == []
    ended = nearfar_command("embed", tiny_run, littered, "--out", tmp_path / "e.npz", "--json")
    assert json.loads(ended.out)["rows"] == 16


def test_predict_on_a_folder_with_nothing_in_it_says_so(tiny_run, tmp_path, nearfar_command):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").write_bytes(b"x")
    ended = nearfar_command("predict", tiny_run, tmp_path / "empty")
    assert ended.code == 2
    assert "want images, got no file in this folder" in ended.err


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_names_that_are_not_utf8_are_predicted_and_printed(tiny_run, tmp_path, nearfar_command):
    folder = tmp_path / "old"
    folder.mkdir()
    picture(1).save(os.fsencode(folder) + b"/caf\xe9.png", "PNG")
    (folder / os.fsdecode(b"br\xe9.txt")).write_text("no picture")
    ended = nearfar_command("predict", tiny_run, folder, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out.encode().decode())
    assert found["predictions"][0]["path"] == f"{folder}/caf\\udce9.png"
    assert found["unreadable"] == [
        {"path": f"{folder}/br\\udce9.txt", "reason": "text, not an image"}
    ]


def test_what_is_left_out_is_said_by_train_embed_and_predict(tiny_run, tmp_path, nearfar_command):
    folder = tmp_path / "one_broken"
    for name in ("daisy", "rose"):
        (folder / name).mkdir(parents=True)
        for number in range(60):
            picture(number + 60 * (name == "rose")).resize((8, 8)).save(
                folder / name / f"{number:02d}.png"
            )
    (folder / "daisy" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    ended = nearfar_command("embed", tiny_run, folder, "--out", tmp_path / "e.npz", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["rows"] == 120
    assert [bad["path"] for bad in json.loads(ended.out)["unreadable"]] == ["daisy/torn.png"]
    assert "left out daisy/torn.png: " in ended.err
    ended = nearfar_command("predict", tiny_run, folder, "--json", "--quiet")
    assert len(json.loads(ended.out)["predictions"]) == 120
    assert f"left out {folder}/daisy/torn.png: " in ended.err
    command = ("train", folder, "--method", "cross_entropy", "--smoke", "--out", tmp_path / "run")
    ended = nearfar_command(*command, "--json")
    assert ended.code == 0, ended.err
    assert [bad["path"] for bad in json.loads(ended.out)["data"]["skipped"]] == ["daisy/torn.png"]
    assert ended.err.splitlines()[-1].startswith("left out daisy/torn.png: ")


def test_of_many_files_left_out_ten_are_named(tiny_run, tmp_path, nearfar_command):
    (tmp_path / "notes").mkdir()
    picture(0).save(tmp_path / "notes" / "a.png")
    for number in range(15):
        (tmp_path / "notes" / f"{number:02d}.json").write_text("{}")
    ended = nearfar_command("predict", tiny_run, tmp_path / "notes")
    assert ended.code == 0
    assert ended.err.count("text, not an image") == 10
    assert "left out 5 more; --json lists all" in ended.err
