"""`--method frozen`: given weights as a run like any other, in which nothing is trained."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import nearfar
from nearfar.api.fitting import checked
from nearfar.api.request import Place, make_request
from nearfar.methods import METHODS


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def frozen_run(tiny_run, tmp_path_factory, nearfar_session) -> Path:
    out = tmp_path_factory.mktemp("frozen") / "run"
    weights = f"encoder.weights={tiny_run / 'encoder/model.safetensors'}"
    ended = nearfar_session("train", "digits", "--method", "frozen", "--set", weights, "--out", out)
    assert ended.code == 0, ended.err
    assert "training   none: the given weights are measured as they are" in ended.err
    assert "given weights, frozen" in ended.out
    assert "last epoch" not in ended.out
    return out


def test_its_results_are_those_of_the_given_weights(frozen_run, tiny_run):
    results, given = read(frozen_run / "results.json"), read(tiny_run / "results.json")
    assert results["complete"]
    assert results["train"]["epochs"] == results["cost"]["steps"] == 0
    found = {m["name"]: m["value"] for m in results["measurements"]}
    of_last = {m["name"]: m["value"] for m in given["measurements"] if m["selection"] == "last"}
    for name in ("linear_probe.top1", "knn.top1"):
        assert found[name] == of_last[name]
    assert {m["selection"] for m in results["measurements"]} == {"last"}
    assert [m["value"] for m in results["untrained"]] == list(found.values())
    assert {m["selection"] for m in results["untrained"]} == {None}
    assert results["diagnosis"][0].startswith("nothing was trained")
    before, after = (load_file(run / "encoder/model.safetensors") for run in (tiny_run, frozen_run))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_its_folder_says_nothing_of_training(frozen_run):
    config = tomllib.loads((frozen_run / "run.toml").read_text())
    assert not {"optimizer", "schedule", "views"} & config.keys()
    assert "epochs" not in config["train"]
    assert not {"metrics.jsonl", "views.png", "encoder_selected.safetensors"} & {
        path.name for path in frozen_run.iterdir()
    }
    page = (frozen_run / "report.html").read_text()
    assert "nothing was trained" in page
    assert "Learning curves" not in page


def test_predict_embed_report_check_and_resume_take_it_as_any_other(
    frozen_run, tiny_run, photographs, nearfar_command, tmp_path
):
    predicted = nearfar_command("predict", frozen_run, photographs, "--json")
    assert predicted.code == 0, predicted.err
    assert len(json.loads(predicted.out)["predictions"]) == 60
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), dtype=np.uint8)
    both = [nearfar.load(run).embed(images) for run in (frozen_run, tiny_run)]
    assert np.array_equal(*both)
    page = tmp_path / "page.html"
    assert nearfar_command("report", frozen_run, "--out", page).code == 0
    checked = nearfar_command("check", frozen_run, "--strict")
    assert checked.code == 0
    assert "nothing was trained" in checked.out
    again = nearfar_command("train", "digits", "--recipe", frozen_run / "run.toml", "--resume",
                            "--out", frozen_run)  # fmt: skip
    assert again.code == 0, again.err
    assert "is complete already" in again.err


def test_without_weights_it_is_refused_with_the_way_out(nearfar_command, tmp_path):
    for command in ("train", "compare"):
        option = "--method" if command == "train" else "--methods"
        ended = nearfar_command(command, "digits", option, "frozen", "--out", tmp_path / "out")
        assert ended.code == 2
        for way in ("--pretrained", "--encoder NAME", "encoder.weights=FILE", "another --method"):
            assert way in ended.err
        assert not (tmp_path / "out").exists()


def test_a_comparison_has_it_beside_what_is_trained_from_the_same_weights(
    tiny_run, nearfar_command, tmp_path
):
    ended = nearfar_command(
        "compare", "digits", "--methods", "frozen,cross_entropy", "--seeds", "2", "--epochs", "1",
        "--out", tmp_path / "c", "--set", "evaluate.probes=knn", "--set", "data.sampling=balanced",
        "--set", f"encoder.weights={tiny_run / 'encoder/model.safetensors'}",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    results = read(tmp_path / "c" / "compare.json")
    assert results["floor"] == "given weights, frozen"
    assert results["images"] == {"cross_entropy": 1077}
    knn = {
        row["method"]: row["mean"]
        for row in results["table"]
        if row["name"] == "knn.top1" and row["selection"] in ("last", None)
    }
    assert knn["frozen"] == knn["untrained"] != knn["cross_entropy"]
    assert [(pair["a"], pair["b"]) for pair in results["comparisons"]] == [
        ("frozen", "cross_entropy"),
        ("cross_entropy", "untrained"),
    ]
    assert results["comparisons"][1]["text"].startswith("cross_entropy minus the given weights: ")
    lines = ended.out.splitlines()
    assert any(line.startswith("given weights, frozen") for line in lines)
    assert not any(line.startswith("untrained") for line in lines)
    report = (tmp_path / "c" / "report.html").read_text()
    assert "given weights, frozen" in report


@pytest.mark.parametrize("given", [{"encoder.pretrained": True}, {"encoder.weights": "x"}, {}])
def test_all_methods_are_with_it_only_where_weights_are_given(given):
    settings = {"encoder.name": "resnet18", **given}
    request = make_request("digits", settings, place=Place(), command="")
    found = checked(request, ["all"], 1)
    assert list(found) == [*METHODS, *(["frozen"] if given else [])]


def test_the_page_says_how_long_was_trained_beside_what_was_not(tiny_run, tmp_path):
    done = nearfar.compare(
        "digits", methods=["frozen", "simclr"], seeds=1, epochs=1, out=tmp_path / "out", quiet=True,
        **{"encoder.weights": str(tiny_run), "evaluate.probes": ["knn"], "train.steps_per_epoch": 1},
    )  # fmt: skip
    page = (done.path / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<dt>Training</dt>\s*<dd>1 epoch", page)


def test_groups_of_a_class_are_no_matter_where_nothing_is_trained(tiny_run, tmp_path):
    folder = tmp_path / "unlabeled"
    folder.mkdir()
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    run = nearfar.train(
        folder, method="frozen", out=tmp_path / "run", quiet=True,
        **{"encoder.weights": str(tiny_run), "data.sampling": "m_per_class", "data.per_class": 4},
    )  # fmt: skip
    assert run.results["measurements"] == []


def test_where_nothing_is_trained_there_are_no_epochs_to_choose_and_nothing_to_tune(
    tiny_run, nearfar_command, tmp_path
):
    command = (
        "compare", "digits", "--methods", "frozen", "--seeds", "1", "--out", tmp_path / "c",
        "--set", f"encoder.weights={tiny_run}", "--set", "evaluate.probes=knn",
    )  # fmt: skip
    ended = nearfar_command(*command, "--tune")
    assert ended.code == 2
    assert "--tune: frozen trains nothing" in ended.err
    ended = nearfar_command(*command, "--minutes", "0.001")
    assert ended.code == 0, ended.err
    assert "measuring" not in ended.err
    assert "fit into the rest" not in ended.err
    assert "px would leave fewer" not in ended.err


def test_its_page_speaks_of_no_training(frozen_run):
    page = (frozen_run / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<dt>Training</dt>\s*<dd>none<", page)
    assert "Linear probe on the given weights, 360 test images" in page
    advice = page.partition("What to try next")[2]
    assert "--methods cross_entropy,frozen, with the same --encoder and weights" in advice


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_wait_for_the_hub_is_said_before_it_begins(command, nearfar_command):
    asked = nearfar_command(command, "digits", "--pretrained", "--encoder", "conv4")
    assert "got none with weights" in asked.err  # conv4 is none of timm's: refused at once
    assert "asking the hub for weights" in asked.err.splitlines()[0]
    plain = nearfar_command(command, "digits", "--encoder", "none_such")
    assert "the hub" not in plain.err.splitlines()[0]
