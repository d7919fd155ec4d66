"""Images that are nearly equal, and what a cut and a test split make of them, by command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "unit" / "data"))
from data_pictures import photograph

QUICK = ("--encoder", "conv4", "--size", "16", "--set", "evaluate.probes=linear", "--epochs", "1")


def draw(folder, *, each, start=0):
    """Different photographs in two classes."""
    for label, name in enumerate(("daisy", "rose")):
        (folder / name).mkdir(parents=True)
        for number in range(start, start + each):
            image = photograph(1000 * label + number, 96, 72, smallest_px=6)
            image.save(folder / name / f"{number:03d}.png")
    return folder


def cropped_copies(folder, into, numbers):
    into.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image = Image.open(folder / "daisy" / f"{number:03d}.png")
        image.crop((4, 4, 90, 70)).save(into / f"copy{number:03d}.png")


@pytest.fixture
def every_daisy_twice(tmp_path):
    folder = draw(tmp_path / "data", each=20)
    cropped_copies(folder, folder / "daisy", range(20))
    return folder


@pytest.fixture(autouse=True)
def _somewhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def found_by(ended):
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_check_names_pairs_on_two_sides_and_shows_them(every_daisy_twice, nearfar_command):
    found = found_by(nearfar_command("check", every_daisy_twice, "--json", "--quiet"))
    by_code = {finding["code"]: finding for finding in found["findings"]}
    torn = by_code["near_copies_across_splits"]
    assert torn["severity"] == "warning" and "--group-by near cuts around them" in torn["text"]
    assert by_code["near_copies"]["severity"] == "note"
    pairs = found["near_copies"]
    assert {tuple(sorted(pair["paths"])) for pair in pairs} == {
        (f"daisy/{number:03d}.png", f"daisy/copy{number:03d}.png") for number in range(20)
    }
    sides = [len(set(pair["splits"])) for pair in pairs]
    assert sides == sorted(sides, reverse=True) and set(sides) == {1, 2}
    assert all(0.9 < pair["likeness"] <= 1 for pair in pairs)
    with Image.open(found["pairs"]) as sheet:
        assert sheet.size[0] > 900
        assert len(sheet.getcolors(10**6)) > 1000


def test_grouped_by_near_no_pair_is_torn(every_daisy_twice, tmp_path, nearfar_command):
    found = found_by(
        nearfar_command("check", every_daisy_twice, "--group-by", "near", "--json", "--quiet")
    )
    codes = {finding["code"]: finding["text"] for finding in found["findings"]}
    assert "near_copies_across_splits" not in codes and "20 sets of 2 or more" in codes["groups"]
    assert {len(set(pair["splits"])) for pair in found["near_copies"]} == {1}
    out = tmp_path / "run"
    ended = nearfar_command("train", every_daisy_twice, *QUICK, "--group-by", "near", "--out", out)
    assert ended.code == 0, ended.err
    assert "groups     20 sets of equal or nearly equal images, none on two sides" in ended.err
    assert 'group_by = "near"' in (out / "run.toml").read_text()
    counts = json.loads((out / "results.json").read_text())["data"]
    for split in ("train", "val", "test"):
        assert f"{split} {counts[f'n_{split}']} (" in codes["counts"]


def test_near_copies_in_a_given_test_split_are_counted_and_left_out_beside(
    tmp_path, nearfar_command
):
    folder = tmp_path / "data"
    draw(folder / "train", each=20)
    draw(folder / "test", each=6, start=500)
    cropped_copies(folder / "train", folder / "test" / "daisy", range(4))
    found = found_by(nearfar_command("check", folder, "--json", "--quiet"))
    (torn,) = [f for f in found["findings"] if f["code"] == "near_copies_across_splits"]
    assert "4 pairs" in torn["text"] and "of 16 images of test have one in train" in torn["text"]
    assert "--group-by" not in torn["text"] or "val" in str(found["near_copies"])
    out = tmp_path / "run"
    ended = nearfar_command("train", folder, *QUICK, "--group-by", "near", "--out", out)
    assert ended.code == 0, ended.err
    results = json.loads((out / "results.json").read_text())
    assert results["data"]["n_test_seen"] == 4
    assert any("it has copies or near copies of them" in text for text in results["diagnosis"])
    (unseen,) = [
        m
        for m in results["measurements"]
        if m["name"] == "linear_probe.top1_unseen" and m["selection"] == "last"
    ]
    assert unseen["n"] == 12


def test_check_of_a_run_says_how_accuracy_changes_without_near_copies(tmp_path, nearfar_command):
    folder, out = tmp_path / "data", tmp_path / "run"
    draw(folder / "train", each=20)
    draw(folder / "val", each=6, start=300)
    draw(folder / "test", each=6, start=500)
    cropped_copies(folder / "train", folder / "test" / "daisy", range(4))
    assert nearfar_command("train", folder, *QUICK, "--out", out).code == 0
    found = found_by(nearfar_command("check", out, "--group-by", "near", "--json", "--quiet"))
    with np.load(out / "embeddings.npz") as rows:
        right = rows["predictions"] == rows["labels"]
        unseen = ["copy" not in path for path in rows["paths"].tolist()]
    assert found["without_seen"] == {
        "group_by": "near",
        "test": 16,
        "seen": 4,
        "accuracy": right.mean(),
        "accuracy_without": right[unseen].mean(),
    }
    said = nearfar_command("check", out, "--group-by", "near").out
    assert "4 of 16 test images have a copy or near copy in training" in said
    assert f"without them {100 * right[unseen].mean():.1f} %" in said
    refused = nearfar_command("check", out, "--against", folder)
    assert refused.code == 2 and "--against" in refused.err
    by_name = found_by(nearfar_command("check", out, "--group-by", r"copy|\d+", "--json"))
    assert by_name["without_seen"]["seen"] == 0


def test_another_folder_is_compared(tmp_path, nearfar_command):
    folder = draw(tmp_path / "data", each=20)
    other = draw(tmp_path / "other", each=5, start=500)
    cropped_copies(folder, other / "daisy", range(3))
    Image.open(folder / "rose" / "001.png").save(other / "rose" / "same.bmp")
    asked = ("check", folder, "--against", other)
    found = found_by(nearfar_command(*asked, "--json", "--quiet"))
    (said,) = [f for f in found["findings"] if f["code"] == "found_in_another"]
    assert said["severity"] == "warning"
    assert "4 of 14 images in" in said["text"] and "are copies or near copies" in said["text"]
    assert {(pair["paths"][1], pair["splits"][1]) for pair in found["near_copies"]} == {
        *((f"daisy/copy{number:03d}.png", None) for number in range(3)),
        ("rose/same.bmp", None),
    }
    nothing = nearfar_command(
        "check", other, "--against", draw(tmp_path / "third", each=3, start=900)
    )
    assert "0 of 6 images in" in nothing.out and "pairs:" not in nothing.out


def test_where_the_picture_cannot_be_written_the_findings_are_said(
    every_daisy_twice, nearfar_command, monkeypatch
):
    was = Path.open

    def read_only(self, mode="r", **how):
        if mode == "xb":
            raise PermissionError(13, "Permission denied")
        return was(self, mode, **how)

    monkeypatch.setattr(Path, "open", read_only)
    ended = nearfar_command("check", every_daisy_twice)
    assert ended.code == 0, ended.err
    assert "pairs of nearly equal images" in ended.out
    assert "near-copies.png cannot be written (Permission denied)" in ended.out


def test_gray_of_12_bits_is_drawn_as_bright_as_it_is(tmp_path, nearfar_command):
    sheets = []
    for bits in (8, 12):
        folder = draw(tmp_path / str(bits) / "data", each=4)
        cropped_copies(folder, folder / "daisy", range(4))
        for path in folder.rglob("*.png"):
            gray = np.asarray(Image.open(path).convert("L"))
            deep = gray.astype(np.uint16) * 16 + gray // 16  # 0 to 4,095
            Image.fromarray(gray if bits == 8 else deep).save(path)
        assert nearfar_command("check", folder).code == 0
        sheets.append(np.asarray(Image.open("near-copies.png")).astype(int))
        Path("near-copies.png").unlink()
    assert abs(sheets[0] - sheets[1]).max() <= 2
