"""`--labels-per-class`, `--label-fraction`, `--label-noise`: from the command to what is recorded."""

import json
import tomllib

import pytest

QUICK = ("--encoder", "conv4", "--epochs", "1", "--set", "evaluate.selections=1")


@pytest.fixture
def trained(tmp_path, nearfar_command):
    """Trains on the digits; the ended command, results.json, and the folder."""

    def train(*arguments, out="run"):
        folder = tmp_path / out
        ended = nearfar_command("train", "digits", *arguments, *QUICK, "--out", folder)
        assert ended.code == 0, ended.err
        return ended, json.loads((folder / "results.json").read_text()), folder

    return train


def test_few_labels_are_all_that_a_method_with_labels_sees(trained, nearfar_command):
    ended, results, folder = trained("--method", "cross_entropy", "--labels-per-class", "5")
    data = results["data"]
    assert (data["labels_per_class"], data["n_train"], data["n_withheld"]) == (5, 50, 1027)
    assert data["class_counts"] == [5] * 10
    assert results["train"]["images"] == 50
    assert "50 train, 360 val, 360 test, 1,027 unlabeled (1,027 labels withheld)" in ended.err
    assert "all 360 validation images keep their labels, and training has 50" in ended.err
    assert any("all 360 validation images keep" in line for line in results["diagnosis"])
    assert tomllib.loads((folder / "run.toml").read_text())["data"]["labels_per_class"] == 5
    linear = next(m for m in results["measurements"] if m["name"] == "linear_probe.top1")
    page = (folder / "report.html").read_text()
    assert "5 a class for training, the labels of 1,027 images withheld" in page
    # a later probe has no more labels than the run had
    ended = nearfar_command("probe", folder, "--json")
    assert json.loads(ended.out)[0]["value"] == linear["value"]


def test_what_needs_no_labels_still_trains_on_every_image(trained):
    _, results, _ = trained("--method", "simclr", "--label-fraction", "0.05")
    assert results["data"]["label_fraction"] == 0.05
    assert results["data"]["n_train"] == 50
    assert results["train"]["images"] == 1077


def test_three_seeds_are_three_draws_and_methods_of_a_seed_have_the_same(tmp_path, nearfar_command):
    ended = nearfar_command(
        *("compare", "digits", "--methods", "cross_entropy,simclr", "--seeds", "2"),
        *("--labels-per-class", "3", "--label-noise", "0.3", *QUICK, "--out", tmp_path / "c"),
    )
    assert ended.code == 0, ended.err
    runs = {
        (method, seed): json.loads(
            (tmp_path / "c" / method / f"seed{seed}" / "results.json").read_text()
        )
        for method in ("cross_entropy", "simclr")
        for seed in (0, 1)
    }
    counts = {key: run["data"]["class_counts"] for key, run in runs.items()}
    assert counts["cross_entropy", 0] == counts["simclr", 0]
    assert counts["cross_entropy", 1] == counts["simclr", 1]
    assert counts["cross_entropy", 0] != counts["cross_entropy", 1]
    assert all(sum(found) == 30 for found in counts.values())
    assert "30 % of the training labels made wrong" in (tmp_path / "c" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels-per-class", "0"), "data.labels_per_class: want at least 1, got 0"),
        (("--label-fraction", "1.5"), "data.label_fraction: want at most 1.0, got 1.5"),
        (("--label-noise", "1"), "data.label_noise: want less than 1.0, got 1"),
        (
            ("--labels-per-class", "3", "--label-fraction", "0.1"),
            "data.label_fraction: want either it or labels_per_class, got 0.1 and 3",
        ),
    ],
)
def test_what_cannot_be_is_said(nearfar_command, tmp_path, arguments, message):
    ended = nearfar_command("train", "digits", *arguments, "--out", tmp_path / "run")
    assert ended.code == 2
    assert message in ended.err


def test_labels_are_wanted_where_some_are_to_be_withheld(nearfar_command, tmp_path, photographs):
    ended = nearfar_command(
        *("train", photographs / "leaf", "--method", "simclr", "--labels-per-class", "3"),
        *("--out", tmp_path / "run", *QUICK),
    )
    assert ended.code == 2
    assert "data.labels_per_class: wants labels, and leaf has none; leave it out" in ended.err
