"""Two stages from one command: pretraining, then a classifier that `predict` uses; and the online
probe beside both.
"""

import json
import pickle
import re
import shutil
import tomllib
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import nearfar
from nearfar.api.model import load
from nearfar.core.errors import RunError
from nearfar.experiment import train_classifier as classifier_module
from nearfar.experiment.choices import CLASSIFIER_RATES
from nearfar.run_folder.folder import RunFolder
from nearfar.training.online_probe import NAME

SMALL = {
    "train.batch_size": 128,
    "train.steps_per_epoch": 4,
    "evaluate.selections": 0,
    "evaluate.probes": ["knn"],
    "evaluate.map_rows": 40,
}
FORMS = [("linear", "frozen"), ("mlp", "frozen"), ("linear", "finetuned"), ("mlp", "finetuned")]


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def trained(out: Path, *, method: str = "supcon", epochs: int = 2, **options) -> nearfar.Run:
    return nearfar.train(
        "digits", method=method, epochs=epochs, out=out, quiet=True, **(SMALL | options)
    )


def same_bits(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    assert len(first) == len(second) > 0
    return all(torch.equal(value, second[name]) for name, value in first.items())


def flags(**settings: object) -> list[str]:
    return [
        word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """supcon on the digits without a second stage."""
    return trained(tmp_path_factory.mktemp("plain") / "run").path


@pytest.fixture(scope="module")
def plain_probe(tmp_path_factory) -> Path:
    """The same, its linear probe measured and written."""
    out = tmp_path_factory.mktemp("probe") / "run"
    return trained(out, **{"evaluate.probes": ["linear"]}).path


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """The same with each form of the second stage, three epochs of it."""
    root = tmp_path_factory.mktemp("staged")
    return {
        (kind, encoder): trained(
            root / kind / encoder,
            **{"classifier.kind": kind, "classifier.encoder": encoder, "classifier.epochs": 3},
            **{"classifier.init": "random"},
        ).path
        for kind, encoder in FORMS
    }


@pytest.fixture(scope="module")
def test_images() -> tuple[np.ndarray, np.ndarray]:
    data = nearfar.data.load(nearfar.data.open_source("digits"), nearfar.data.CenterSquare(8))
    rows = data.split("test")
    return np.asarray(data.images)[rows.numpy()], np.asarray(data.labels)[rows.numpy()]


@pytest.mark.parametrize("form", FORMS)
def test_predict_gets_right_what_was_measured(staged, test_images, form):
    run = staged[form]
    results = read(run / "results.json")
    found = {m["name"]: m for m in results["measurements"]}
    top1 = found["classifier.top1"]
    assert (top1["split"], top1["selection"], top1["n"]) == ("test", "last", 360)
    assert top1["protocol"].startswith(form[0])
    assert "1077 labeled training images" in top1["protocol"]
    assert ("frozen" if form[1] == "frozen" else "fine-tuned copy") in top1["protocol"]
    assert {"classifier.balanced_accuracy", "classifier.per_class"} <= set(found)
    images, labels = test_images
    predicted = nearfar.load(run).predict(images)
    assert float((predicted.classes == labels).mean()) == pytest.approx(top1["value"])
    counts = np.array(results["confusion"]["counts"])
    assert results["confusion"]["by"] == "classifier stage"
    assert np.trace(counts) / counts.sum() == pytest.approx(top1["value"])
    with np.load(run / "embeddings.npz") as file:
        chosen = np.linspace(0, 359, 40).round().astype(int)
        assert (file["predictions"] == predicted.classes[chosen]).all()
    assert top1["value"] > 0.15  # after 8 steps and 12; chance is .1, and hardly ever above .13
    assert results["cost"]["classifier_seconds"] > 0


@pytest.mark.parametrize("form", FORMS)
def test_pretraining_and_what_embed_gives_are_those_of_a_run_without_the_stage(
    plain, staged, test_images, form
):
    run = staged[form]
    assert same_bits(plain / "encoder/model.safetensors", run / "encoder/model.safetensors")
    images = test_images[0][:50]
    np.testing.assert_array_equal(
        nearfar.load(plain).embed(images), nearfar.load(run).embed(images)
    )
    without = [
        m
        for m in read(run / "results.json")["measurements"]
        if not m["name"].startswith("classifier.")
    ]
    assert without == read(plain / "results.json")["measurements"]
    assert (run / "encoder_finetuned.safetensors").exists() is (form[1] == "finetuned")
    if form[1] == "finetuned":
        assert not same_bits(
            run / "encoder/model.safetensors", run / "encoder_finetuned.safetensors"
        )
        with pytest.raises(RunError, match=r"reads the fine-tuned encoder"):
            nearfar.load(run).classify(np.zeros((1, 64), np.float32))


def test_the_stage_s_epochs_stand_in_a_file_of_their_own(staged):
    for (kind, encoder), run in staged.items():
        rows = [json.loads(line) for line in (run / "classifier.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        assert rows[-1]["loss"] < rows[0]["loss"]
        assert all(0 <= row["classifier.top1.val"] <= 1 for row in rows)
        section = tomllib.loads((run / "run.toml").read_text())["classifier"]
        assert (section["kind"], section["encoder"], section["epochs"]) == (kind, encoder, 3)
        assert section["policy"] == ("evaluation" if encoder == "frozen" else "digits")
        assert ("hidden_dim" in section) is (kind == "mlp")
        assert ("encoder_lr" in section) is (encoder == "finetuned")


def test_a_frozen_encoder_can_be_shown_views_too(tmp_path, plain):
    options = {"classifier.kind": "linear", "classifier.policy": "basic", "classifier.epochs": 1}
    run = trained(tmp_path / "run", **options)
    assert same_bits(plain / "encoder/model.safetensors", run.path / "encoder/model.safetensors")
    protocol = next(
        m["protocol"] for m in run.results["measurements"] if m["name"] == "classifier.top1"
    )
    assert "one view (basic) of each image" in protocol


def protocol_of(run: nearfar.Run) -> str:
    found = {m["name"]: m["protocol"] for m in run.results["measurements"]}
    return found["classifier.top1"]


def test_the_second_stage_of_the_cassava_article_can_be_typed(tmp_path, plain):
    """Dropout .5 - Dense 1000 relu - dropout .5 - Dense C on a frozen encoder, Adam 3e-4, constant,
    no decay, a random head on augmented images as they are.
    """
    asked = {
        "kind": "mlp",
        "policy": "cassava",
        "optimizer": "adam",
        "lr": 3e-4,
        "weight_decay": 0.0,
        "decay": "constant",
        "standardize": False,
        "epochs": 2,
    }
    run = trained(tmp_path / "run", **{f"classifier.{key}": value for key, value in asked.items()})
    assert same_bits(plain / "encoder/model.safetensors", run.path / "encoder/model.safetensors")
    written = tomllib.loads((run.path / "run.toml").read_text())["classifier"]
    decided = {"encoder": "frozen", "init": "random", "hidden_dim": 1000, "dropout": 0.5}
    assert written.items() >= {**asked, **decided, "momentum": 0.9}.items()
    rows = [json.loads(line) for line in (run.path / "classifier.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows] == [3e-4, 3e-4]
    state = torch.load(run.path / "checkpoint" / "classifier.pt", weights_only=True)
    (group,) = state["optimizer"]["param_groups"]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (3e-4, 0.0, (0.9, 0.999))
    assert group["decoupled_weight_decay"] is False
    # nothing was standardized, so nothing is folded into the first layer
    shown = load_file(run.path / "classifier.safetensors")
    best = load_file(run.path / "checkpoint" / "classifier_best.safetensors")
    head = [best[name] for name in state["method"]]
    assert [tuple(value.shape) for value in head] == [(1000, 64), (1000,), (10, 1000), (10,)]
    names = ("hidden.weight", "hidden.bias", "weight", "bias")
    for name, value in zip(names, head, strict=True):
        assert torch.equal(shown[name], value)
    assert re.fullmatch(
        r"mlp \(1000 hidden, dropout 0.5\) classifier on the last encoder, frozen; 2 epochs over 1077"
        r" labeled training images, one view \(cassava\) of each image, not standardized, from a"
        r" random start, adam at rate 0.0003 \(constant\), weight decay 0; epoch [12] of 2"
        r" chosen on 360 validation images",
        protocol_of(run),
    )


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("policy", ["evaluation", "digits"])
def test_a_stage_that_starts_from_the_probe_starts_with_its_scores(
    tmp_path, plain_probe, standardize, policy
):
    """At a rate of next to nothing it stays there: classifier.safetensors is the probe's."""
    stage = {
        "classifier.kind": "linear",
        "classifier.init": "probe",
        "classifier.lr": 1e-12,
        "classifier.epochs": 1,
        "classifier.standardize": standardize,
        "classifier.policy": policy,
        "evaluate.probes": ["linear"],
    }
    run = trained(tmp_path / "run", **stage)
    probe, made = (load_file(path / "classifier.safetensors") for path in (plain_probe, run.path))
    for name in ("weight", "bias"):
        torch.testing.assert_close(made[name], probe[name], rtol=1e-5, atol=1e-5)
    state = torch.load(run.path / "checkpoint" / "classifier.pt", weights_only=True)
    head = state["method"]["0.weight"]
    # what is standardized is folded
    assert torch.allclose(head, made["weight"], atol=1e-9) is not standardize
    values = {m["name"]: m["value"] for m in run.results["measurements"]}
    assert values["classifier.top1"] == values["linear_probe.top1"] > 0.5
    assert re.search(
        r"from the linear probe \(weight decay \S+ chosen on 360 validation images\), adamw at rate"
        r" 1e-12 \(cosine\), weight decay 0.01; epoch 1 of 1 chosen on 360 validation images",
        protocol_of(run),
    )


def test_a_finetuned_stage_starts_from_the_probe_too_and_each_optimizer_learns(tmp_path):
    """Constant and steps, on a copy of the encoder or not; the rates say which."""
    forms = (
        ("sgd", "steps", "nesterov"),
        ("lars", "constant", "trust_ratio"),
        ("rmsprop", "cosine", "alpha"),
        ("adam", "steps", "betas"),
    )
    for name, decay, own in forms:
        stage = {
            "classifier.kind": "linear",
            "classifier.init": "probe",
            "classifier.encoder": "finetuned" if name == "adam" else "frozen",
            "classifier.optimizer": name,
            "classifier.decay": decay,
            "classifier.epochs": 2,
        }
        run = trained(tmp_path / name, epochs=1, **stage)
        lines = (run.path / "classifier.jsonl").read_text().splitlines()
        rates = [json.loads(line)["lr"] for line in lines]
        peak = CLASSIFIER_RATES[name]
        # steps: 8 in all, drops before the last of each quarter
        wanted = {"steps": [peak, peak * 0.2**3], "constant": [peak, peak]}
        assert decay == "cosine" or rates == pytest.approx(wanted[decay])
        assert f"{name} at rate {peak:g} ({decay}), weight decay 0;" in protocol_of(run)
        state = torch.load(run.path / "checkpoint" / "classifier.pt", weights_only=True)
        groups = state["optimizer"]["param_groups"]
        assert all(own in group and group["weight_decay"] == 0 for group in groups)
        assert len(groups) == {"lars": 2, "adam": 2}.get(name, 1)  # of biases, of the encoder


@pytest.mark.parametrize("form", [("mlp", "frozen"), ("linear", "finetuned")])
def test_an_interrupted_stage_leaves_a_usable_encoder_and_resumes_to_the_same_bits(
    staged, tmp_path, nearfar_command, monkeypatch, form
):
    out, straight = tmp_path / "run", staged[form]
    stage = {"classifier.encoder": form[1], "classifier.epochs": 3, "classifier.init": "random"}
    command = [
        "train",
        "digits",
        "--method",
        "supcon",
        "--epochs",
        "2",
        "--classifier",
        form[0],
        "--out",
        out,
    ]
    command += flags(**SMALL, **stage)
    real = classifier_module.save_checkpoint

    def interrupt_in_epoch_2(path, model, optimizer, counters):
        if counters.epoch == 2:
            raise KeyboardInterrupt
        real(path, model, optimizer, counters)

    monkeypatch.setattr(classifier_module, "save_checkpoint", interrupt_in_epoch_2)
    ended = nearfar_command(*command)
    assert ended.code == 130
    assert "stopped after epoch 2 of 2, in the classifier stage; continue" in ended.err
    assert same_bits(straight / "encoder/model.safetensors", out / "encoder/model.safetensors")
    assert read(out / "results.json")["complete"] is False
    with pytest.raises(RunError, match="has no classifier"):
        nearfar.load(out).predict(np.zeros((1, 8, 8, 3), np.uint8))
    saved = []

    def noted(path, model, optimizer, counters):
        saved.append(counters.epoch)
        real(path, model, optimizer, counters)

    monkeypatch.setattr(classifier_module, "save_checkpoint", noted)
    assert nearfar_command(*command, "--resume").code == 0
    assert saved == [2, 3]
    assert same_bits(straight / "classifier.safetensors", out / "classifier.safetensors")
    assert len((out / "classifier.jsonl").read_text().splitlines()) == 3
    assert (
        read(out / "results.json")["measurements"]
        == read(straight / "results.json")["measurements"]
    )


@pytest.mark.parametrize("name", ["classifier.safetensors", "encoder_finetuned.safetensors"])
def test_a_complete_run_without_one_of_the_stage_s_files_gets_it_back_by_resume(
    staged, tmp_path, nearfar_command, name
):
    run, whole = tmp_path / "run", staged["mlp", "finetuned"]
    shutil.copytree(whole, run)
    (run / name).unlink()
    stage = {
        "classifier.encoder": "finetuned",
        "classifier.epochs": 3,
        "classifier.init": "random",
    }
    command = [
        "train",
        "digits",
        "--method",
        "supcon",
        "--epochs",
        "2",
        "--classifier",
        "mlp",
        "--out",
        run,
    ]
    ended = nearfar_command(*command, "--resume", *flags(**SMALL, **stage))
    assert ended.code == 0, ended.err
    assert "complete already" not in ended.err
    assert (run / name).read_bytes() == (whole / name).read_bytes()


def test_a_stage_that_diverges_stops_by_name_and_the_encoder_stays(
    plain, tmp_path, nearfar_command
):
    out = tmp_path / "run"
    command = [
        "train",
        "digits",
        "--method",
        "supcon",
        "--epochs",
        "2",
        "--classifier",
        "linear",
        "--out",
        out,
    ]
    ended = nearfar_command(*command, *flags(**SMALL, **{"classifier.lr": 1e30}))
    assert ended.code == 3, ended.err
    assert "--set classifier.lr=1e+29" in ended.err
    assert "Traceback" not in ended.err
    assert same_bits(plain / "encoder/model.safetensors", out / "encoder/model.safetensors")
    assert not (out / "classifier.safetensors").exists()


def test_smoke_takes_two_steps_of_the_stage_too(tmp_path, nearfar_command):
    out = tmp_path / "run"
    settings = flags(**{"evaluate.probes": ["knn"], "evaluate.map_rows": 20})
    ended = nearfar_command(
        "train", "digits", "--classifier", "mlp", "--smoke", "--out", out, *settings
    )
    assert ended.code == 0, ended.err
    assert (
        torch.load(out / "checkpoint" / "classifier.pt", weights_only=True)["counters"]["step"] == 2
    )
    assert "then a classifier (mlp, encoder frozen): 1 epoch of features, lr 0.01" in ended.err
    assert "classifier stage" in ended.out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Classifier stage" in page
    assert "The classifier stage on the last epoch" in page


def test_a_comparison_has_a_row_of_the_stage_for_each_method(tmp_path, nearfar_command):
    out = tmp_path / "compare"
    command = [
        "compare",
        "digits",
        "--methods",
        "supcon,simclr",
        "--seeds",
        "1",
        "--classifier",
        "linear",
    ]
    command += ["--out", out]
    ended = nearfar_command(*command, "--epochs", "1", *flags(**SMALL, **{"classifier.epochs": 1}))
    assert ended.code == 0, ended.err
    assert "classifier stage" in ended.out
    rows = {
        r["method"]: r
        for r in read(out / "compare.json")["table"]
        if r["name"] == "classifier.top1"
    }
    assert set(rows) == {"supcon", "simclr"}
    assert all(0 < row["mean"] <= 1 for row in rows.values())
    assert "Classifier stage" in (out / "report.html").read_text(encoding="utf-8")


def flat_folder(photographs: Path, flat: Path) -> Path:
    flat.mkdir()
    for number, path in enumerate(sorted(photographs.rglob("*.png"))):
        shutil.copy(path, flat / f"{number}.png")
    return flat


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--classifier", "linear"),
            "classifier.kind: wants labeled training images of at least 2 classes, and flat",
        ),
        (
            ("--set", "evaluate.online_probe=true"),
            "evaluate.online_probe: wants labels, and flat has none; leave",
        ),
    ],
)
def test_images_without_labels_are_refused_before_training(
    photographs, tmp_path, nearfar_command, arguments, message
):
    flat, out = flat_folder(photographs, tmp_path / "flat"), tmp_path / "run"
    ended = nearfar_command(
        "train", flat, "--method", "simclr", "--encoder", "conv4", "--out", out, *arguments
    )
    assert ended.code == 2
    assert message in ended.err
    assert not out.exists()


def test_a_classifier_of_another_kind_is_refused(tmp_path, nearfar_command):
    ended = nearfar_command("train", "digits", "--classifier", "deep", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "classifier.kind: want one of 'linear' or 'mlp', got 'deep'" in ended.err


class Trap:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["classifier.safetensors", "encoder_finetuned.safetensors"])
def test_a_run_from_a_stranger_executes_nothing(staged, tmp_path, name):
    run, mark = tmp_path / "run", tmp_path / "executed"
    shutil.copytree(staged["mlp", "finetuned"], run)
    (run / name).write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(RunError, match=f"{name} cannot be read"):
        load(run)
    assert not mark.exists()
    pickle.loads((run / name).read_bytes())  # the trap works
    assert mark.exists()


def test_a_classifier_that_does_not_fit_its_run_is_refused_by_name(staged, plain, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    state = load_file(staged["mlp", "frozen"] / "classifier.safetensors")
    save_file({**state, "bias": state["bias"][:3].clone()}, run / "classifier.safetensors")
    with pytest.raises(
        RunError,
        match=r"classifier.safetensors does not fit this run: bias: want \(10,\), got \(3,\)",
    ):
        load(run)
    save_file(state, run / "classifier.safetensors", metadata={"encoder": "finetuned"})
    with pytest.raises(RunError, match=r"encoder_finetuned.safetensors is missing"):
        load(run)
    save_file(state, run / "classifier.safetensors", metadata={"encoder": "../../etc/passwd"})
    assert load(run).predict(np.zeros((1, 8, 8, 3), np.uint8)).probabilities.shape == (1, 10)


def test_a_module_of_ones_own_is_finetuned_as_a_copy(tmp_path):
    own = nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    options = {
        "classifier.kind": "linear",
        "classifier.encoder": "finetuned",
        "classifier.epochs": 1,
    }
    run = trained(tmp_path / "run", epochs=1, encoder=own, **options)
    model = nearfar.load(run.path, module=own)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    assert model.predict(images).probabilities.shape == (2, 10)
    expected = load_file(run.path / "encoder/model.safetensors")["0.weight"]
    assert torch.equal(model.encoder.net[0].weight, expected)


@pytest.mark.parametrize("method", ["supcon", "simclr", "cross_entropy"])
def test_the_online_probe_changes_no_bit_of_training(tmp_path, method):
    with_it = trained(tmp_path / "with", method=method, **{"evaluate.online_probe": True}).path
    without = trained(tmp_path / "without", method=method, **{"evaluate.online_probe": False}).path
    assert same_bits(with_it / "encoder/model.safetensors", without / "encoder/model.safetensors")
    rows, plain = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (with_it, without)
    )
    assert all(0 <= row[NAME] <= 1 for row in rows)
    assert not any(NAME in row for row in plain)
    assert [row["loss"] for row in rows] == [row["loss"] for row in plain]
    assert "Online probe on training views" in (with_it / "report.html").read_text(encoding="utf-8")
    assert "Online probe" not in (without / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("method", "on"), [("supcon", True), ("simclr", False)])
def test_the_online_probe_is_on_by_default_where_a_method_needs_labels_anyway(tmp_path, method, on):
    run = trained(tmp_path / "run", method=method, epochs=1).path
    assert tomllib.loads((run / "run.toml").read_text())["evaluate"]["online_probe"] is on
    assert (NAME in json.loads((run / "metrics.jsonl").read_text().splitlines()[0])) is on


def test_labels_reach_neither_a_method_without_them_nor_its_encoder(tmp_path, monkeypatch):
    """simclr with the online probe and a classifier stage: it is given -1s, and other labels leave
    it the same bits.
    """
    kind = nearfar.methods.method_class("simclr")
    step, load_images = kind.step, import_module("nearfar.api.train").load_images
    seen, shown = [], {}

    def watched(self, batch):
        seen.append(batch.labels)
        return step(self, batch)

    def shuffled(*arguments, **options):
        data = load_images(*arguments, **options)
        rows, labels = data.split("train"), torch.as_tensor(data.labels).clone()
        labels[rows] = labels[
            rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
        ]
        assert not torch.equal(labels, torch.as_tensor(data.labels))
        return replace(data, labels=labels)

    monkeypatch.setattr(kind, "step", watched)
    options = {"evaluate.online_probe": True, "classifier.kind": "linear", "classifier.epochs": 2}
    shown["true"] = trained(tmp_path / "true", method="simclr", **options)
    monkeypatch.setattr("nearfar.api.train.load_images", shuffled)
    shown["shuffled"] = trained(tmp_path / "shuffled", method="simclr", **options)
    assert len(seen) == 2 * 8
    assert all((labels == -1).all() for labels in seen)
    true, other = (shown[name].path for name in ("true", "shuffled"))
    assert same_bits(true / "encoder/model.safetensors", other / "encoder/model.safetensors")
    assert not same_bits(true / "classifier.safetensors", other / "classifier.safetensors")
    online = [
        json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])[NAME]
        for run in (true, other)
    ]
    assert online[0] > online[1]


def test_a_run_with_the_online_probe_resumes_to_the_same_bits_and_rows(
    tmp_path, nearfar_command, monkeypatch
):
    def command(out):
        return [
            "train",
            "digits",
            "--method",
            "supcon",
            "--epochs",
            "3",
            "--out",
            out,
            *flags(**SMALL),
        ]

    assert nearfar_command(*command(tmp_path / "straight")).code == 0
    real = RunFolder.append_metrics

    def interrupt_in_epoch_3(folder, row):
        if row["epoch"] == 3:
            raise KeyboardInterrupt
        real(folder, row)

    monkeypatch.setattr(RunFolder, "append_metrics", interrupt_in_epoch_3)
    assert nearfar_command(*command(tmp_path / "halves")).code == 130
    monkeypatch.setattr(RunFolder, "append_metrics", real)
    assert nearfar_command(*command(tmp_path / "halves"), "--resume").code == 0
    straight, halves = (
        [
            json.loads(line)[NAME]
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("straight", "halves")
    )
    assert straight == halves
    assert len(halves) == 3
