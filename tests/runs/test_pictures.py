"""Folders of pictures as people have them, given to a finished run."""

import csv
import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nearfar
from nearfar.api import predict as predicting
from nearfar.api.sorting import sort_into


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
    assert "want images, got none in this folder" in ended.err


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_names_that_are_not_utf8_are_predicted_and_printed(tiny_run, tmp_path, nearfar_command):
    folder = tmp_path / "old"
    folder.mkdir()
    picture(1).save(os.fsencode(folder) + b"/caf\xe9.png", "PNG")
    (folder / os.fsdecode(b"br\xe9.png")).write_text("no picture")
    ended = nearfar_command("predict", tiny_run, folder, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out.encode().decode())
    assert found["predictions"][0]["path"] == f"{folder}/caf\\udce9.png"
    asked = ("--sort-into", tmp_path / "sorted", "--out", tmp_path / "x.csv")
    assert nearfar_command("predict", tiny_run, folder, *asked).code == 0
    (copied,) = (os.fsencode(path) for path in (tmp_path / "sorted").rglob("*.png"))
    assert copied.endswith(b"/caf\xe9.png")
    assert "caf\\udce9.png" in (tmp_path / "x.csv").read_text(encoding="utf-8")
    assert found["unreadable"] == [
        {"path": f"{folder}/br\\udce9.png", "reason": "text, not an image"}
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
        (tmp_path / "notes" / f"{number:02d}.jpg").write_text("{}")
    ended = nearfar_command("predict", tiny_run, tmp_path / "notes")
    assert ended.code == 0
    assert ended.err.count("text, not an image") == 10
    assert "left out 5 more; --json lists all" in ended.err


def digit_images(folder: Path, count: int = 20) -> Path:
    """Pictures that the run has seen, of all ten classes."""
    folder.mkdir(parents=True)
    data = nearfar.data.load(nearfar.data.open_source("digits"), nearfar.data.CenterSquare(8))
    for row in range(count):
        Image.fromarray(np.asarray(data.images[row])).save(folder / f"{row:02d}.png")
    return folder


def test_predictions_are_written_as_csv_and_json(tiny_run, tmp_path, nearfar_command):
    folder = digit_images(tmp_path / "new")
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    told = json.loads(nearfar_command("predict", tiny_run, folder, "--json").out)
    ended = nearfar_command("predict", tiny_run, folder, "--out", tmp_path / "deep" / "x.csv")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{tmp_path / 'deep' / 'x.csv'}: 20 rows\n")
    assert "torn.png" in ended.err
    text = (tmp_path / "deep" / "x.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][:5] == ["path", "class", "probability", "class_2", "probability_2"]
    assert len(rows[0]) == 13 and rows[0][-3:] == ["probability_5", "decided", "unlike"]
    assert len(rows) == 21
    for row, wanted in zip(rows[1:], told["predictions"], strict=True):
        assert row[0] == wanted["path"]
        assert row[1:11:2] == [name for name, _ in wanted["top"]]
        assert [float(share) for share in row[2:11:2]] == pytest.approx(
            [share for _, share in wanted["top"]], rel=1e-5
        )
        assert wanted["decided"] is True
        assert row[11:] == ["true", {True: "true", False: "false"}[wanted["unlike"]]]
    assert nearfar_command("predict", tiny_run, folder, "--out", tmp_path / "x.json").code == 0
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == told


def test_a_file_of_predictions_is_refused_or_replaced_before_any_work(
    tiny_run, tmp_path, nearfar_command
):
    (tmp_path / "x.csv").write_text("mine")
    for name, said in (("x.csv", "replace it by --force"), ("x.xlsx", "ending in .csv or .json")):
        ended = nearfar_command("predict", tiny_run, tmp_path / "no", "--out", tmp_path / name)
        assert ended.code == 2
        assert said in ended.err
    assert (tmp_path / "x.csv").read_text() == "mine"
    folder = digit_images(tmp_path / "new", 2)
    ended = nearfar_command("predict", tiny_run, folder, "--out", tmp_path / "x.csv", "--force")
    assert ended.code == 0, ended.err
    assert (tmp_path / "x.csv").read_text().startswith("path,")


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_pictures_are_copied_into_folders_of_their_classes(tiny_run, tmp_path, nearfar_command):
    folder = digit_images(tmp_path / "new" / "a")
    shutil.copytree(folder, tmp_path / "new" / "b")
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = files_below(tmp_path / "new")
    command = ("predict", tiny_run, tmp_path / "new", "--sort-into", tmp_path / "sorted")
    ended = nearfar_command(*command)
    assert ended.code == 0, ended.err
    assert f"{tmp_path / 'sorted'}: 40 images copied, by class\n" in ended.out
    assert files_below(tmp_path / "new") == before
    told = json.loads(nearfar_command("predict", tiny_run, tmp_path / "new", "--json").out)
    after = files_below(tmp_path / "sorted")
    wanted = {f"{row['class']}/{Path(row['path']).name}" for row in told["predictions"]}
    twins = {name.replace(".png", "-2.png") for name in wanted}
    assert set(after) == wanted | twins
    for name in wanted:
        assert after[name] == after[name.replace(".png", "-2.png")] == before[f"a/{name[2:]}"]
    again = nearfar_command(*command)
    assert again.code == 2
    assert "is not empty" in again.err
    again = nearfar_command(*command, "--force", "--json")
    assert json.loads(again.out)["copied"] == 40
    assert files_below(tmp_path / "sorted") == after  # nothing twice


def test_a_sorted_folder_is_added_to_and_no_picture_in_it_replaced(
    tiny_run, tmp_path, nearfar_command
):
    folder = digit_images(tmp_path / "new", 1)
    told = json.loads(nearfar_command("predict", tiny_run, folder, "--json").out)
    own = tmp_path / "sorted" / told["predictions"][0]["class"]
    own.mkdir(parents=True)
    (own / "00.png").write_bytes(b"mine")
    command = ("predict", tiny_run, folder, "--sort-into", tmp_path / "sorted", "--force")
    assert nearfar_command(*command).code == 0
    assert (own / "00.png").read_bytes() == b"mine"
    assert (own / "00-2.png").read_bytes() == (folder / "00.png").read_bytes()


@pytest.mark.parametrize("place", [".", "sorted", "../link/sorted"])
def test_sorting_into_a_folder_that_is_read_is_refused(tiny_run, tmp_path, nearfar_command, place):
    folder = digit_images(tmp_path / "new", 1)
    (tmp_path / "link").symlink_to(folder)
    command = ("predict", tiny_run, folder, "--sort-into", folder / place, "--force")
    ended = nearfar_command(*command)
    assert ended.code == 2
    assert "which is read; name a folder beside it" in ended.err
    assert [path.name for path in folder.iterdir()] == ["00.png"]


def test_sorting_into_a_file_is_refused(tiny_run, tmp_path, nearfar_command):
    folder = digit_images(tmp_path / "new", 1)
    (tmp_path / "file").write_text("mine")
    ended = nearfar_command("predict", tiny_run, folder, "--sort-into", tmp_path / "file")
    assert ended.code == 2
    assert "want a folder" in ended.err


def test_a_full_disk_leaves_whole_copies_and_says_how_many(
    tiny_run, tmp_path, nearfar_command, monkeypatch
):
    folder = digit_images(tmp_path / "new", 5)
    copy2, copied = shutil.copy2, []

    def full_after_three(source, target):
        copy2(source, target)
        copied.append(source)
        if len(copied) == 4:
            Path(target).write_bytes(b"cut")
            raise OSError(errno.ENOSPC, "No space left on device")

    command = ("predict", tiny_run, folder, "--sort-into", tmp_path / "sorted")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copy2", full_after_three)
        ended = nearfar_command(*command, "--out", tmp_path / "x.csv")
    assert ended.code == 2
    assert "the disk is full" in ended.err
    assert "the 3 pictures copied before it are complete" in ended.err
    assert (tmp_path / "x.csv").exists()
    pictures = files_below(folder)
    whole = files_below(tmp_path / "sorted")
    assert len(whole) == 3
    assert all(content == pictures[name[2:]] for name, content in whole.items())
    assert nearfar_command(*command, "--force").code == 0
    assert len(files_below(tmp_path / "sorted")) == 5


def test_a_folder_that_changes_while_it_is_read_costs_what_is_gone(
    tiny_run, tmp_path, nearfar_command, monkeypatch
):
    folder = digit_images(tmp_path / "new", 3)
    found = predicting._files_of(folder)

    def changed(_path):
        (folder / "01.png").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(predicting, "_files_of", changed)
    ended = nearfar_command("predict", tiny_run, folder, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert [Path(row["path"]).name for row in told["predictions"]] == ["00.png", "02.png"]
    assert [Path(bad["path"]).name for bad in told["unreadable"]] == ["01.png"]
    assert "left out " in ended.err and "01.png" in ended.err


def test_a_picture_that_vanishes_while_others_are_copied_is_left_out(
    tiny_run, tmp_path, nearfar_command, monkeypatch
):
    folder = digit_images(tmp_path / "new", 3)
    copy2 = shutil.copy2

    def gone(source, target):
        (folder / "01.png").unlink(missing_ok=True)
        copy2(source, target)

    monkeypatch.setattr(shutil, "copy2", gone)
    command = ("predict", tiny_run, folder, "--sort-into", tmp_path / "sorted", "--json")
    ended = nearfar_command(*command)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["copied"] == 2
    assert [Path(bad["path"]).name for bad in told["unreadable"]] == ["01.png"]
    assert len(files_below(tmp_path / "sorted")) == 2


def test_names_of_classes_become_names_of_folders(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    names = ["cat/dog", "cat\\dog", "..", "Cat", "cat", "_Undecided", None]
    done, _ = sort_into(tmp_path / "out", [(tmp_path / "a.png", name) for name in names])
    assert done == 7
    assert sorted(files_below(tmp_path / "out")) == [
        "Cat/a.png",
        "_/a.png",
        "_Undecided-2/a.png",
        "_undecided/a.png",
        "cat-2/a.png",
        "cat_dog-2/a.png",
        "cat_dog/a.png",
    ]
    assert not (tmp_path / "a-2.png").exists()
