"""`nearfar predict --sure`: what the classifier should not decide is left to a person."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nearfar
from nearfar.data.center import CenterSquare
from nearfar.evaluate.sureness import smallest_threshold


def pictures(folder: Path, split: str, count: int) -> Path:
    """Digits of a split, as files."""
    folder.mkdir(parents=True)
    data = nearfar.data.load(nearfar.data.open_source("digits"), CenterSquare(8))
    for number, row in enumerate(data.split(split)[:count].tolist()):
        Image.fromarray(np.asarray(data.images[row])).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    """Sixty test digits, and one picture of stripes."""
    folder = pictures(tmp_path_factory.mktemp("album") / "new", "test", 60)
    stripes = np.tile(np.uint8([[0], [255]]), (4, 8))
    Image.fromarray(stripes).save(folder / "stripes.png")
    return folder


def trained(out: Path, **settings):
    """A short run of supcon on the digits."""
    quick = {"evaluate.selections": 0, "evaluate.map_rows": 20}
    run = {"method": "supcon", "epochs": 1, "out": out, "quiet": True}
    return nearfar.train("digits", **run, **quick, **settings)


def test_the_threshold_and_the_shares_are_those_of_validation_and_test(
    tiny_run, album, nearfar_command
):
    held = nearfar.load(tiny_run).reference
    val = held.val
    assert len(val) == 360
    like = val.distance <= held.farthest
    wanted = smallest_threshold(val.probability[like], val.right[like], 0.995)
    told = json.loads(nearfar_command("predict", tiny_run, album, "--sure", "0.995", "--json").out)
    sure = told["sure"]
    assert sure["threshold"] == wanted
    for name, of in (("validation", val), ("test", held.test)):
        decided = (of.probability >= wanted) & (of.distance <= held.farthest)
        share = sure[name]
        assert (share["n"], share["decided"]) == (len(of), decided.sum())
        assert share["accuracy"] == of.right[decided].mean()
        assert share["interval"][0] < share["accuracy"] <= share["interval"][1] <= 1
    assert sure["validation"]["accuracy"] >= 0.995
    for row in told["predictions"]:
        assert row["decided"] == (row["probability"] >= wanted and not row["unlike"])
    by_name = {Path(row["path"]).name: row for row in told["predictions"]}
    assert by_name["stripes.png"]["unlike"] is True and by_name["stripes.png"]["decided"] is False
    assert 30 < sum(row["decided"] for row in told["predictions"]) < 60


def test_validation_images_are_judged_as_predict_sees_them(tiny_run, tmp_path, nearfar_command):
    folder = pictures(tmp_path / "val", "val", 400)
    told = json.loads(nearfar_command("predict", tiny_run, folder, "--sure", ".9", "--json").out)
    share = told["sure"]["validation"]
    assert len(told["predictions"]) == share["n"]
    assert sum(row["decided"] for row in told["predictions"]) == share["decided"]


def test_what_is_left_to_a_person_is_said_sorted_and_marked(
    tiny_run, album, tmp_path, nearfar_command
):
    asked = ("predict", tiny_run, album, "--sure", "0.995", "--sort-into", tmp_path / "sorted")
    ended = nearfar_command(*asked)
    assert ended.code == 0, ended.err
    rows = json.loads(nearfar_command(*asked[:5], "--json").out)["predictions"]
    left = {Path(row["path"]).name for row in rows if not row["decided"]}
    assert {path.name for path in (tmp_path / "sorted" / "_undecided").iterdir()} == left
    assert sum(1 for path in (tmp_path / "sorted").rglob("*.png")) == 61
    assert f"_undecided  {len(left):>6}\n" in ended.out
    unlike = sum(row["unlike"] for row in rows)
    assert (
        f"decided: {61 - len(left)} of 61 images; left to you: {len(left) - unlike} unsure, {unlike}"
        " unlike the training images\n"
    ) in ended.out
    assert "\n  validation: " in ended.out and " images decided, " in ended.out
    table = nearfar_command("predict", tiny_run, album, "--sure", "0.995").out
    stripes = next(line for line in table.splitlines() if "stripes.png" in line)
    assert stripes.endswith("no, unlike")
    plain = nearfar_command("predict", tiny_run, album).out
    assert f"unlike the training images, so look at them yourself: {unlike} of 61 images" in plain


def test_where_no_threshold_is_good_enough_nothing_is_decided(tmp_path, nearfar_command):
    """The surest validation image is wrong."""
    run = trained(tmp_path / "run", **{"evaluate.probes": ["linear"]})
    with np.load(run.path / "reference.npz") as file:
        arrays = dict(file)
    arrays["val_right"][:] = False
    np.savez(run.path / "reference.npz", **arrays)
    folder = pictures(tmp_path / "new", "test", 5)
    ended = nearfar_command("predict", run.path, folder, "--sure", "0.9")
    assert ended.code == 0, ended.err
    n = len(arrays["val_right"])
    assert (
        "nothing is decided: however high the probability, fewer than 90.0 % of the validation images"
        f" that reach it are right ({n} in all)"
    ) in ended.out
    told = json.loads(nearfar_command("predict", run.path, folder, "--sure", ".9", "--json").out)
    assert told["sure"]["threshold"] is None
    assert told["sure"]["test"]["decided"] == 0 and told["sure"]["test"]["accuracy"] is None
    assert not any(row["decided"] for row in told["predictions"])


def test_an_older_run_says_what_to_do_and_probe_does_it(tiny_run, album, tmp_path, nearfar_command):
    run = tmp_path / "older"
    shutil.copytree(tiny_run, run)
    (run / "reference.npz").unlink()
    told = json.loads(nearfar_command("predict", run, album, "--json").out)
    assert {row["unlike"] for row in told["predictions"]} == {None}
    ended = nearfar_command("predict", run, album, "--sure", "0.9")
    assert ended.code == 2
    assert "has no reference.npz" in ended.err and f"nearfar probe {run}" in ended.err
    assert nearfar_command("probe", run, "--kind", "knn").code == 0
    with np.load(tiny_run / "reference.npz") as one, np.load(run / "reference.npz") as other:
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_allclose(
                one[name].astype(float), other[name].astype(float), atol=2e-3
            )
    ended = nearfar_command("predict", run, album, "--sure", "0.9")
    assert ended.code == 0, ended.err
    (run / "reference.npz").write_bytes(b"cut")
    ended = nearfar_command("predict", run, album)
    assert ended.code == 2 and "reference.npz: cut short or damaged" in ended.err


def test_a_fine_tuned_classifier_is_held_against_its_own_encoder(tmp_path, nearfar_command):
    stage = {"classifier.kind": "linear", "classifier.encoder": "finetuned"}
    short = {"evaluate.probes": ["knn"], "classifier.epochs": 2, "classifier.init": "random"}
    run = trained(tmp_path / "run", **stage, **short)
    folder = pictures(tmp_path / "val", "val", 400)
    told = json.loads(nearfar_command("predict", run.path, folder, "--sure", ".5", "--json").out)
    assert told["classifier"] == "stage"
    model = nearfar.load(run.path)
    own = model.classifying[0].net.state_dict()
    assert any(not torch.equal(own[name], x) for name, x in model.encoder.net.state_dict().items())
    shares = model.predict(sorted(folder.iterdir())).probabilities.max(axis=1)
    np.testing.assert_allclose(model.reference.val.probability, shares, atol=1e-5)
    share = told["sure"]["validation"]
    assert sum(row["decided"] for row in told["predictions"]) == share["decided"]
    before = (run.path / "reference.npz").read_bytes()
    (run.path / "reference.npz").unlink()
    assert nearfar_command("probe", run.path, "--kind", "knn").code == 0
    assert len((run.path / "reference.npz").read_bytes()) == len(before)
    again = nearfar.load(run.path).reference
    np.testing.assert_allclose(again.val.probability, shares, atol=1e-5)
    np.testing.assert_allclose(again.val.distance, model.reference.val.distance, atol=1e-3)


@pytest.mark.parametrize(
    ("share", "said"), [("90", "did you mean 0.9?"), ("0", "above 0"), ("1.2", "at most 1")]
)
def test_a_share_that_is_none_is_refused_before_any_work(
    tiny_run, tmp_path, nearfar_command, share, said
):
    ended = nearfar_command("predict", tiny_run, tmp_path / "no", "--sure", share)
    assert ended.code == 2
    assert "--sure: want a share" in ended.err and said in ended.err


def test_images_are_sorted_by_sureness(tiny_run, album, tmp_path, nearfar_command):
    for order, sign in (("sure", -1), ("unsure", 1)):
        ended = nearfar_command("predict", tiny_run, album, "--sort-by", order, "--json")
        rows = json.loads(ended.out)["predictions"]
        probabilities = [row["probability"] for row in rows]
        assert probabilities == sorted(probabilities, key=lambda p: sign * p)
        assert len({row["path"] for row in rows}) == 61
    out = tmp_path / "x.csv"
    asked = ("predict", tiny_run, album, "--sort-by", "unsure", "--out", out)
    assert nearfar_command(*asked, "--sort-into", tmp_path / "sorted").code == 0
    listed = [line.split(",")[0] for line in out.read_text().splitlines()[1:]]
    assert listed == [row["path"] for row in rows]
    by_class = {Path(row["path"]).name: row["class"] for row in rows}
    copied = {path.name: path.parent.name for path in (tmp_path / "sorted").rglob("*.png")}
    assert copied == by_class
    assert nearfar_command("predict", tiny_run, album, "--sort-by", "size").code == 2
