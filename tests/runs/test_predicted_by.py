"""The one classifier that `predict` uses: the best on validation, and named wherever it counts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import nearfar
from nearfar.data.center import CenterSquare

SMALL = {
    "train.batch_size": 128,
    "evaluate.selections": 0,
    "evaluate.probes": ["linear"],
    "evaluate.map_rows": 40,
}


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def test_images() -> tuple[np.ndarray, np.ndarray]:
    data = nearfar.data.load(nearfar.data.open_source("digits"), CenterSquare(8))
    rows = data.split("test")
    return np.asarray(data.images)[rows.numpy()], np.asarray(data.labels)[rows.numpy()]


@pytest.fixture(scope="module")
def ruined(tmp_path_factory) -> Path:
    """A stage that leaves the linear probe at a rate that ruins it."""
    stage = {
        "classifier.kind": "linear",
        "classifier.encoder": "finetuned",
        "classifier.lr": 1.0,
        "classifier.encoder_lr": 1.0,
        "classifier.epochs": 2,
    }
    out = tmp_path_factory.mktemp("ruined") / "run"
    return nearfar.train(
        "digits", method="simclr", epochs=2, out=out, quiet=True, **SMALL, **stage
    ).path


def test_a_stage_keeps_the_start_where_no_epoch_is_better(ruined):
    rows = [json.loads(line) for line in (ruined / "classifier.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    results = read(ruined / "results.json")
    found = {m["name"]: m for m in results["measurements"]}
    assert max(row["classifier.top1.val"] for row in rows) < 0.6
    assert found["classifier.top1"]["value"] == found["linear_probe.top1"]["value"] > 0.6
    protocol = found["classifier.top1"]["protocol"]
    assert protocol.endswith("the start chosen on 360 validation images, before all 2 epochs")
    assert "from the linear probe (weight decay" in protocol


def test_predict_uses_the_best_on_validation_and_says_what_and_how_good(
    ruined, nearfar_command, test_images, photographs
):
    results = read(ruined / "results.json")
    by = results["predicted_by"]
    probe, stage = by["candidates"]
    assert [probe["name"], stage["name"]] == ["linear_probe", "stage"]
    assert probe["validation"] == stage["validation"]
    assert (by["name"], by["title"], by["encoder"]) == ("linear_probe", "linear probe", "frozen")
    assert not (ruined / "encoder_finetuned.safetensors").exists()
    images, labels = test_images
    right = float((nearfar.load(ruined).predict(images).classes == labels).mean())
    assert right == pytest.approx(by["test"])
    assert results["confusion"]["by"] == "linear probe"
    ended = nearfar_command("predict", ruined, photographs)
    assert ended.out.endswith(f"classifier: linear probe, {100 * right:.1f} % on test\n")
    told = json.loads(nearfar_command("predict", ruined, photographs, "--json").out)
    assert (told["classifier"], told["title"], told["test"]) == (
        "linear_probe",
        "linear probe",
        by["test"],
    )
    (ruined / "results.json").rename(ruined / "away.json")
    none_right = results | {"predicted_by": by | {"test": 0.0}}
    (ruined / "results.json").write_text(json.dumps(none_right), encoding="utf-8")
    assert nearfar_command("predict", ruined, photographs).out.endswith("probe, 0.0 % on test\n")
    (ruined / "results.json").unlink()
    told = json.loads(nearfar_command("predict", ruined, photographs, "--json").out)
    assert told["classifier"] is None and len(told["predictions"]) == 60
    (ruined / "away.json").rename(ruined / "results.json")


def test_an_own_head_serves_where_it_is_the_best(tmp_path, test_images):
    """Of cross_entropy, whose only candidate it is without a probe: classifier.safetensors is the
    head of the last checkpoint.
    """
    options = {**SMALL, "evaluate.probes": ["knn"]}
    run = nearfar.train(
        "digits", method="cross_entropy", epochs=3, out=tmp_path / "run", quiet=True, **options
    )
    by = run.results["predicted_by"]
    assert (by["name"], by["title"]) == ("head", "own head")
    found = {m["name"]: m["value"] for m in run.results["measurements"]}
    assert by["test"] == found["head.top1"]
    state = torch.load(run.path / "checkpoint" / "last.pt", weights_only=True)["method"]
    shown = load_file(run.path / "classifier.safetensors")
    assert torch.equal(shown["weight"], state["head.weight"])
    images, labels = test_images
    right = float((run.load().predict(images).classes == labels).mean())
    assert right == pytest.approx(by["test"])


def test_terminal_report_and_comparison_mark_what_predict_uses(tmp_path, nearfar_command):
    command = ["digits", "--epochs", "1", "--set", "evaluate.selections=0", "--batch-size", "128"]
    command += ["--set", "evaluate.probes=linear,knn", "--set", "evaluate.map_rows=40"]
    ended = nearfar_command("train", *command, "--method", "joint", "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    by = read(tmp_path / "run" / "results.json")["predicted_by"]
    assert by["validation"] == max(one["validation"] for one in by["candidates"])
    assert any(line.startswith(f"{by['title']} *") for line in ended.out.splitlines())
    right = f"{100 * by['test']:.1f} % on test"
    assert f"* nearfar predict uses the {by['title']}, {right}; on validation, %: " in ended.out
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"uses: joint: {by['title']}, {right}." in page
    assert page.count('<b class="used">*</b>') == 1
    out = tmp_path / "c"
    ended = nearfar_command(
        "compare", *command, "--methods", "cross_entropy,simclr", "--seeds", "1", "--out", out
    )
    assert ended.code == 0, ended.err
    told = {one["method"]: one for one in read(out / "compare.json")["predicting"]}
    assert set(told) == {"cross_entropy", "simclr"}
    assert told["simclr"]["by"] == {"linear probe": 1}
    assert f"best on validation: {told['cross_entropy']['text']}; {told['simclr']['text']}" in (
        ended.out
    )
