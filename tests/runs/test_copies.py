"""Images that are there more than once, and groups that a cut keeps together, by command."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import nearfar

QUICK = ("--encoder", "conv4", "--size", "16", "--set", "evaluate.probes=linear", "--epochs", "1")


def draw(folder, *, each, classes=("daisy", "rose"), start=0):
    """Noise whose mean tells the classes apart."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            random = np.random.default_rng([label, start + number])
            noise = random.integers(90 * label, 90 * label + 160, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"p{number % 5}_{number:03d}.png")
    return folder


@pytest.fixture
def given_splits(tmp_path):
    """Of 20 test images 6 are in train too: 4 as they are, 2 saved otherwise."""
    folder = tmp_path / "data"
    draw(folder / "train", each=30)
    draw(folder / "test", each=7, start=100)
    for number in range(4):
        original = folder / "train" / "daisy" / f"p{number}_00{number}.png"
        shutil.copy(original, folder / "test" / "daisy" / f"copy{number}.png")
    for number in range(2):
        original = folder / "train" / "rose" / f"p{number}_00{number}.png"
        Image.open(original).save(folder / "test" / "rose" / f"copy{number}.bmp")
    return folder


def test_plan_results_and_report_say_how_many_test_images_were_seen_in_training(
    given_splits, tmp_path, nearfar_command
):
    out = tmp_path / "run"
    ended = nearfar_command("train", given_splits, *QUICK, "--out", out)
    assert ended.code == 0, ended.err
    said = "6 of 20 test images were seen in training: it has copies of them"
    assert f"warning    {said}; measured with and without them" in ended.err
    results = json.loads((out / "results.json").read_text())
    assert results["data"]["n_test_seen"] == 6
    assert said in results["diagnosis"]
    found = {m["name"]: m for m in results["measurements"] if m["selection"] == "last"}
    assert found["linear_probe.top1"]["n"] == 20
    unseen = found["linear_probe.top1_unseen"]
    assert unseen["n"] == 14
    assert "without the 6 test images seen in training" in unseen["protocol"]
    assert "linear_probe.top1_unseen" in results["shown"]
    (beside,) = [text for text in results["diagnosis"] if "on the 14 test images" in text]
    assert f"{100 * unseen['value']:.1f} % on the 14 test images" in beside
    page = (out / "report.html").read_text()
    assert "20 test images (6 of test seen in training)" in page
    assert said in page and "Linear probe, unseen" in page
    assert "linear probe, unseen" in ended.out


def test_the_measurement_without_them_is_that_of_the_images_without_them(given_splits, tmp_path):
    asked = {"encoder": "conv4", "epochs": 1, "quiet": True, "data.size": 16}
    asked |= {"evaluate.probes": ["linear"], "evaluate.online_probe": False}
    both = nearfar.train(given_splits, out=tmp_path / "both", **asked)
    for path in given_splits.rglob("copy*"):
        path.unlink()
    alone = nearfar.train(given_splits, out=tmp_path / "alone", **asked)

    def last(run, name):
        return [
            (m["value"], m["n"])
            for m in run.results["measurements"]
            if m["name"] == name and m["selection"] == "last"
        ]

    assert last(both, "linear_probe.top1_unseen") == last(alone, "linear_probe.top1")
    assert last(alone, "linear_probe.top1_unseen") == []
    assert alone.results["data"]["n_test_seen"] == 0


def test_only_methods_that_learn_from_unlabeled_images_have_seen_them(tmp_path):
    folder = draw(tmp_path / "data" / "train", each=30).parent
    draw(folder / "test", each=6, start=100)
    shutil.copytree(folder / "test" / "rose", folder / "unlabeled")
    asked = {"encoder": "conv4", "epochs": 1, "quiet": True, "data.size": 16}
    seen = {
        method: nearfar.train(folder, method=method, out=tmp_path / method, **asked).results
        for method in ("simclr", "cross_entropy")
    }
    assert seen["simclr"]["data"]["n_test_seen"] == 6
    assert seen["cross_entropy"]["data"]["n_test_seen"] == 0


@pytest.mark.parametrize("command", [("train", "--method"), ("compare", "--seeds=1", "--methods")])
def test_copies_and_what_paths_name_are_on_one_side_of_a_cut(tmp_path, nearfar_command, command):
    folder = draw(tmp_path / "data", each=30)
    for path in sorted((folder / "daisy").iterdir())[:7]:
        shutil.copy(path, path.with_name(f"again_{path.name}"))
    name, *of = command
    out = tmp_path / "out"
    asked = (name, folder, *of, "supcon", *QUICK, "--group-by", r"p(\d)_", "--out", out)
    ended = nearfar_command(*asked)
    assert ended.code == 0, ended.err
    (said,) = [line for line in ended.err.splitlines() if "groups  " in line]
    assert r"5 sets of images by p(\d)_, none on two sides of the cut" in said
    (run,) = [path.parent for path in out.rglob("run.toml")]
    assert r'group_by = "p(\\d)_"' in (run / "run.toml").read_text()
    counts = json.loads((run / "results.json").read_text())["data"]
    assert [counts[name] % 12 for name in ("n_val", "n_test")] == [0, 0] != counts["n_test"]
    with np.load(run / "embeddings.npz") as rows:
        people = {path.split("_")[0][-2:] for path in rows["paths"].tolist()}
    assert len(people) == counts["n_test"] // 12
    probed = nearfar_command("probe", run, "--kind", "knn", "--json")
    assert json.loads(probed.out)[0]["n"] == counts["n_test"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("a(", 'data.group_by: want near or a regular expression, got "a("'),
        ("person", "--group-by: person is found in none of 60 paths, such as daisy/p0_000.png"),
    ],
)
def test_an_expression_that_cannot_be_or_finds_nothing_is_refused(
    tmp_path, nearfar_command, asked, said
):
    folder = draw(tmp_path / "data", each=30)
    ended = nearfar_command("train", folder, *QUICK, "--group-by", asked, "--out", tmp_path / "run")
    assert ended.code == 2 and said in ended.err
    assert not (tmp_path / "run").exists()


def test_where_all_is_one_group_it_is_said_that_nothing_is_measured(tmp_path, nearfar_command):
    folder = draw(tmp_path / "data", each=10)
    ended = nearfar_command("train", folder, *QUICK, "--group-by", "p", "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert "warning    no images for val and test, so nothing is measured there" in ended.err
