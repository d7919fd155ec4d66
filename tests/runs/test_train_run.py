"""`nearfar train`, from one command to a run folder that other tools can rely on."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import nearfar
from nearfar.api import train as train_module
from nearfar.data import open_source
from nearfar.evaluate import features
from nearfar.experiment import cost, embeddings, judging, running
from nearfar.experiment import run as run_module
from nearfar.report import loading_lines, page
from nearfar.run_folder.folder import RunFolder
from nearfar.training.loop import fit

TINY = ("--epochs", "2", "--batch-size", "128", "--set", "evaluate.selections=2")
KNN_ONLY = ("--set", 'evaluate.probes=["knn"]', "--set", "evaluate.map_rows=20")
QUICK = ("--epochs", "1", "--batch-size", "512", "--set", "evaluate.selections=1", *KNN_ONLY)
QUICK_OPTIONS = {
    "train.steps_per_epoch": 2,
    "train.batch_size": 64,
    "evaluate.selections": 0,
    "evaluate.probes": ["knn"],
    "evaluate.map_rows": 20,
}
FILES = (
    "run.toml",
    "environment.json",
    "metrics.jsonl",
    "results.json",
    "encoder/model.safetensors",
    "encoder_selected.safetensors",
    "encoder/config.json",
    "classifier.safetensors",
    "checkpoint/last.pt",
    "embeddings.npz",
    "report.html",
)


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_run_folder_holds_what_the_contract_says(tiny_run):
    assert [name for name in FILES if not (tiny_run / name).exists()] == []
    assert list(tiny_run.rglob("*.partial")) == []
    config = tomllib.loads((tiny_run / "run.toml").read_text())
    assert config["method"]["name"] == "supcon"
    assert config["encoder"]["name"] == "conv4"
    assert config["views"] == {"policy": "digits", "strength": 1.0, "count": 2}
    assert config["train"]["precision"] in ("float32", "bf16")
    rows = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[0]["chance"] == pytest.approx(np.log(2 * 128 - 1))
    assert "knn.top1.val" in rows[-1]


def test_results_name_every_measurement_with_its_split_and_selection(tiny_run):
    results = read(tiny_run / "results.json")
    found = {(m["name"], m["split"], m["selection"]) for m in results["measurements"]}
    probes = (
        "linear_probe.top1",
        "linear_probe.balanced_accuracy",
        "linear_probe.per_class",
        "knn.top1",
    )
    for name in (*probes, "few_label_probe.top1@10"):
        assert (name, "test", "last") in found
        assert (name, "test", "validation") in found
    assert {m["selection"] for m in results["untrained"]} == {None}
    assert results["complete"] is True
    assert results["cost"]["views_seen"] == 2 * 2 * 8 * 128
    assert results["cost"]["peak_memory_bytes"] > 10**8
    top1 = next(m for m in results["measurements"] if m["name"] == "linear_probe.top1")
    assert top1["n"] == 360
    assert top1["interval"][0] < top1["value"] < top1["interval"][1]
    counts = np.array(results["confusion"]["counts"])
    assert counts.sum() == 360
    assert np.trace(counts) / 360 == pytest.approx(top1["value"])


def test_embeddings_hold_the_test_images_with_map_and_neighbors(tiny_run):
    with np.load(tiny_run / "embeddings.npz") as file:
        held = dict(file)
    assert held["embeddings"].shape == (360, 64)
    assert held["embeddings"].dtype == np.float32
    assert held["thumbnails"].shape == (360, 32, 32, 3)
    assert held["xy"].shape == (360, 2)
    assert bool(np.isfinite(held["xy"]).all())
    assert held["neighbors"].shape == (360, 10)
    assert not bool((held["neighbors"] == np.arange(360)[:, None]).any())
    assert set(held["split"]) == {"test"}


def test_a_loaded_run_embeds_and_predicts_what_the_run_measured(tiny_run):
    model = nearfar.load(tiny_run)
    data = nearfar.data.load(nearfar.data.open_source("digits"), nearfar.data.CenterSquare(8))
    rows = data.split("test").numpy()
    predictions = model.predict(np.asarray(data.images[rows]))
    with np.load(tiny_run / "embeddings.npz") as file:
        np.testing.assert_allclose(
            model.embed(np.asarray(data.images[rows])), file["embeddings"], atol=1e-5
        )
        assert float((predictions.classes == file["predictions"]).mean()) > 0.99
    assert predictions.probabilities.sum(axis=1) == pytest.approx(1.0)
    assert predictions.class_names == tuple("0123456789")
    assert not model.encoder.training


def test_the_lines_of_the_report_load_the_encoder_without_nearfar(tiny_run, monkeypatch):
    facts = read(tiny_run / "encoder/config.json")["nearfar"]
    monkeypatch.chdir(tiny_run)
    names: dict[str, object] = {}
    lines = loading_lines(facts)
    assert "nearfar" not in lines.replace("# ", "").split("import")[1]
    exec(lines, names)
    rows = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = names["encoder"](rows), nearfar.load(tiny_run).encoder(rows)
    # channels-last convolutions round otherwise
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)


@pytest.mark.ci
def test_a_run_repeats_bit_for_bit(tiny_run, tmp_path, nearfar_command):
    again = tmp_path / "again"
    assert nearfar_command("train", "digits", "--method", "supcon", "--out", again, *TINY).code == 0
    for name in ("encoder/model.safetensors", "classifier.safetensors"):
        first, second = load_file(tiny_run / name), load_file(again / name)
        assert all(torch.equal(first[key], second[key]) for key in first)
    first, second = read(tiny_run / "results.json"), read(again / "results.json")
    assert first["measurements"] == second["measurements"]


def test_another_seed_is_another_run(tiny_run, tmp_path, nearfar_command):
    other = tmp_path / "other"
    nearfar_command("train", "digits", "--method", "supcon", "--seed", "1", "--out", other, *QUICK)
    first, second = (
        load_file(tiny_run / "encoder/model.safetensors"),
        load_file(other / "encoder/model.safetensors"),
    )
    assert not torch.equal(first["0.weight"], second["0.weight"])


def test_training_leaves_the_global_random_state_alone(tmp_path):
    torch.manual_seed(7)
    np.random.seed(7)
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    nearfar.train(
        "digits", method="simclr", epochs=1, out=tmp_path / "run", quiet=True, **QUICK_OPTIONS
    )
    assert torch.equal(before, torch.get_rng_state())
    assert (before_numpy == np.random.get_state()[1]).all()


def test_an_existing_folder_is_kept_unless_forced(tiny_run, tmp_path, nearfar_command):
    ended = nearfar_command("train", "digits", "--out", tiny_run, *QUICK)
    assert ended.code == 2
    assert "--resume" in ended.err
    assert "--force" in ended.err
    foreign = tmp_path / "holiday"
    foreign.mkdir()
    (foreign / "photo.jpg").write_bytes(b"mine")
    assert nearfar_command("train", "digits", "--force", "--out", foreign, *QUICK).code == 2
    assert (foreign / "photo.jpg").read_bytes() == b"mine"


def test_an_empty_folder_is_refused_without_force(tmp_path, nearfar_command):
    out = tmp_path / "run"
    out.mkdir()
    ended = nearfar_command("train", "digits", "--out", out, *QUICK)
    assert ended.code == 2
    assert f"{out} exists, and is empty; use it by --force" in ended.err
    assert (
        nearfar_command("train", "digits", "--out", out, "--force", "--smoke", *KNN_ONLY).code == 0
    )


@pytest.mark.parametrize("command", ["train", "compare"])
def test_an_interrupt_before_anything_is_written_leaves_no_folder(
    tmp_path, nearfar_command, monkeypatch, command
):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "make_evaluation_view", interrupted)
    assert nearfar_command(command, "digits", "--out", tmp_path / "run", "--smoke").code == 130
    assert not (tmp_path / "run").exists()


def test_a_complete_run_is_not_trained_again(tiny_run, nearfar_command):
    before = (tiny_run / "encoder/model.safetensors").stat().st_mtime_ns
    ended = nearfar_command(
        "train", "digits", "--method", "supcon", "--out", tiny_run, "--resume", *TINY
    )
    assert ended.code == 0
    assert "complete already" in ended.err
    assert (tiny_run / "encoder/model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "name", ["encoder/model.safetensors", "encoder/config.json", "classifier.safetensors"]
)
def test_a_complete_run_without_one_of_its_files_gets_it_back_by_resume(
    tiny_run, tmp_path, nearfar_command, name
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / name).unlink()
    ended = nearfar_command(
        "train", "digits", "--method", "supcon", "--out", run, "--resume", *TINY
    )
    assert ended.code == 0, ended.err
    assert "complete already" not in ended.err
    assert (run / name).read_bytes() == (tiny_run / name).read_bytes()
    assert (
        read(run / "results.json")["measurements"]
        == read(tiny_run / "results.json")["measurements"]
    )


def test_a_complete_run_without_its_page_gets_it_back_by_resume(
    tiny_run, tmp_path, nearfar_command
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "report.html").unlink()
    ended = nearfar_command(
        "train", "digits", "--method", "supcon", "--out", run, "--resume", *TINY
    )
    assert ended.code == 0, ended.err
    assert "complete already" in ended.err
    assert (run / "report.html").exists()


def test_resuming_with_other_settings_is_refused_by_name(tiny_run, nearfar_command):
    ended = nearfar_command(
        *("train", "digits", "--method", "supcon", "--out", tiny_run, "--resume"),
        *("--epochs", "3", "--set", "train.gradient_clip=1"),
    )
    assert ended.code == 2
    assert "train.epochs (2 there, 3 now)" in ended.err
    assert "train.gradient_clip (unset there, 1.0 now)" in ended.err
    assert "None" not in ended.err


def test_an_interrupted_run_is_usable_and_resumes_to_the_same_end(
    tiny_run, tmp_path, nearfar_command, monkeypatch
):
    out = tmp_path / "run"
    command = ("train", "digits", "--method", "supcon", "--out", out, *TINY)
    real = RunFolder.append_metrics

    def interrupt_in_epoch_2(folder, row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt
        real(folder, row)

    monkeypatch.setattr(RunFolder, "append_metrics", interrupt_in_epoch_2)
    ended = nearfar_command(*command)
    assert ended.code == 130
    assert f"--out {out} --resume" in ended.err
    assert "nearfar: interrupted; what is complete stays" in ended.err
    stopped = read(out / "results.json")
    assert stopped["complete"] is False
    assert stopped["cost"]["total_seconds"] > stopped["cost"]["train_seconds"] > 0
    assert nearfar.load(out).embed(np.zeros((2, 8, 8, 3), np.uint8)).shape == (2, 64)
    monkeypatch.setattr(RunFolder, "append_metrics", real)
    checkpoint = torch.load(out / "checkpoint" / "last.pt", weights_only=True)
    checkpoint["counters"]["total_seconds"] += 1000
    torch.save(checkpoint, out / "checkpoint" / "last.pt")
    assert nearfar_command(*command, "--resume").code == 0
    assert (
        read(out / "results.json")["cost"]["total_seconds"]
        > 1000 + stopped["cost"]["total_seconds"]
    )
    straight, resumed = (
        load_file(tiny_run / "encoder/model.safetensors"),
        load_file(out / "encoder/model.safetensors"),
    )
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "metrics.jsonl",
            "metrics.jsonl: want a row for each of the 2 epochs in the checkpoint, got 1",
        ),
        (
            "encoder_selected.safetensors",
            "encoder_selected.safetensors cannot be read (cut short?)",
        ),
    ],
)
def test_resuming_what_was_cut_short_is_refused_by_name(
    tiny_run, tmp_path, nearfar_command, name, message
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "results.json").unlink()
    (run / name).write_bytes((run / name).read_bytes()[:-5])
    ended = nearfar_command(
        "train", "digits", "--method", "supcon", "--out", run, "--resume", *TINY
    )
    assert ended.code == 2, ended.err
    assert message in ended.err
    assert "--force" in ended.err


def test_an_interrupt_outside_training_is_told_too(
    tiny_run, tmp_path, nearfar_command, monkeypatch
):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("nearfar.api.embed.represent", interrupted)
    ended = nearfar_command("embed", tiny_run, "digits", "--out", tmp_path / "e.npz")
    assert ended.code == 130
    assert "nearfar: interrupted; what is complete stays" in ended.err


@pytest.mark.ci
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_real_process_leaves_a_usable_run(tmp_path, how):
    out = tmp_path / "run"
    code = "from nearfar.cli.main import main; main()"
    options = ["--method", "supcon", "--epochs", "500", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", "digits", *options],
        stderr=subprocess.PIPE,
        # whoever started these tests in the background may ignore it, and children inherit that
        preexec_fn=lambda: signal.signal(how, signal.SIG_DFL),
    )
    checkpoint = out / "checkpoint" / "last.pt"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert read(out / "results.json")["complete"] is False
    assert (out / "encoder/model.safetensors").exists()


@pytest.mark.ci
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_last_line_changes_nothing(tmp_path, how):
    code = "from nearfar.cli.main import main; main()"
    options = ["--method", "simclr", "--smoke", "--out", str(tmp_path / "run"), *KNN_ONLY]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, "train", "digits", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(how, signal.SIG_DFL),
    )
    while not (line := process.stdout.readline()).startswith(b"On digits, the simclr encoder"):
        assert line
    time.sleep(0.1)  # libraries are ending
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"Traceback" not in err


def test_a_run_trains_with_memory_kept(tmp_path, nearfar_command, monkeypatch):
    order = []

    @contextmanager
    def watched():
        order.append("kept")
        yield
        order.append("given back")

    def trained(*arguments, **options):
        order.append("trained")
        fit(*arguments, **options)

    monkeypatch.setattr("nearfar.experiment.run.kept_memory", watched)
    monkeypatch.setattr("nearfar.experiment.run.fit", trained)
    assert (
        nearfar_command("train", "digits", "--smoke", "--out", tmp_path / "run", *KNN_ONLY).code
        == 0
    )
    assert order == ["kept", "trained", "given back"]


def test_a_loss_that_is_no_number_stops_with_what_to_try(tmp_path, nearfar_command):
    out = tmp_path / "run"
    ended = nearfar_command("train", "digits", "--out", out, "--set", "optimizer.lr=1e30", *QUICK)
    assert ended.code == 3
    for part in ("SupCon", "step", "learning rate", "optimizer.lr="):
        assert part in ended.err
    assert not (out / "report.html").exists()


@pytest.mark.parametrize(
    ("lr", "decay", "what"),
    [("1e20", "1e2", "representations of training images"), ("1e30", "1e10", "weights of")],
)
def test_an_update_that_diverges_in_the_last_step_stops_too(
    tmp_path, photographs, nearfar_command, lr, decay, what
):
    """Loss and gradient of the step are sound; what it leaves is not, and no file holds it."""
    out = tmp_path / "run"
    ended = nearfar_command(
        "train",
        photographs,
        "--method",
        "cross_entropy",
        "--encoder",
        "conv4",
        "--out",
        out,
        "--epochs",
        "1",
        "--set",
        f"optimizer.lr={lr}",
        "--set",
        "train.steps_per_epoch=1",
        "--set",
        "schedule.warmup_epochs=0",
        "--set",
        f"optimizer.weight_decay={decay}",
        *KNN_ONLY,
    )
    assert ended.code == 3, ended.err
    assert "after epoch 1 of 1" in ended.err
    assert what in ended.err
    assert "optimizer.lr=" in ended.err
    assert sorted(path.name for path in out.rglob("*")) == [
        "environment.json",
        "run.toml",
        "stopped.json",
        "views.png",
    ]


def test_a_full_disk_keeps_the_last_checkpoint_and_exits_3(tmp_path, nearfar_command, monkeypatch):
    out = tmp_path / "run"
    real = run_module.save_checkpoint

    def full_after_one(path, method, optimizer, counters, *more):
        if counters.epoch == 2:
            raise OSError(28, "No space left on device")
        real(path, method, optimizer, counters, *more)

    monkeypatch.setattr(run_module, "save_checkpoint", full_after_one)
    ended = nearfar_command("train", "digits", "--out", out, *TINY, *KNN_ONLY)
    assert ended.code == 3
    assert "No space left on device" in ended.err
    assert "--resume" in ended.err
    assert (out / "checkpoint" / "last.pt").exists()


def test_a_disk_that_is_full_for_the_page_alone_says_that_the_run_is_complete(
    tiny_run, tmp_path, nearfar_command, monkeypatch
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "report.html").unlink()

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(page, "whole", full)
        ended = nearfar_command(
            "train", "digits", "--method", "supcon", "--out", run, "--resume", *TINY
        )
    assert ended.code == 3, ended.err
    assert "No space left on device" in ended.err
    assert "complete: make room" in ended.err
    assert f"`nearfar report {run}`" in ended.err
    assert nearfar_command("report", run).code == 0


def test_out_of_memory_says_what_to_make_smaller(tmp_path, nearfar_command, monkeypatch):
    def too_much(*_args, **_kwargs):
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"
        )

    monkeypatch.setattr(run_module, "fit", too_much)
    ended = nearfar_command("train", "digits", "--out", tmp_path / "run", *QUICK)
    assert ended.code == 3
    assert "train.micro_batch_size" in ended.err


def test_labels_never_reach_a_method_that_does_not_need_them(tmp_path, monkeypatch):
    """Shuffled labels give the same SimCLR encoder bit for bit; the probes alone notice."""
    seen: list[torch.Tensor] = []
    real = nearfar.methods.method_class("simclr").step

    def watch(self, batch):
        seen.append(batch.labels)
        return real(self, batch)

    monkeypatch.setattr(nearfar.methods.method_class("simclr"), "step", watch)
    source = open_source("digits")
    others = torch.randperm(len(source), generator=torch.Generator().manual_seed(0)).numpy()
    shuffled = replace(source, labels=source.labels[others])
    runs = []
    for number, listing in enumerate((source, shuffled)):
        monkeypatch.setattr("nearfar.api.train.open_source", lambda *_, listing=listing: listing)
        out = tmp_path / str(number)
        runs.append(
            nearfar.train("digits", method="simclr", epochs=1, out=out, quiet=True, **QUICK_OPTIONS)
        )
    assert len(seen) == 4
    assert all(bool((labels == -1).all()) for labels in seen)
    first, second = (load_file(run.path / "encoder/model.safetensors") for run in runs)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert runs[0].results["measurements"] != runs[1].results["measurements"]


def test_unlabeled_images_train_simclr_and_give_a_map_without_probes(
    tmp_path, photographs, nearfar_command
):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(photographs.rglob("*.png"))):
        (flat / f"{number}.png").write_bytes(path.read_bytes())
    out = tmp_path / "run"
    ended = nearfar_command(
        "train", flat, "--method", "simclr", "--encoder", "conv4", "--out", out, "--epochs", "1"
    )
    assert ended.code == 0, ended.err
    results = read(out / "results.json")
    assert results["measurements"] == []
    why = "no labels: nothing measured; probe it with `nearfar probe RUN --data LABELED`"
    assert results["diagnosis"] == [results["verdicts"][0]["text"], why]
    assert results["verdicts"][0]["code"] == "undertrained"
    *told, last = ended.out.splitlines()
    assert told[1:] == [why, f"report: {out / 'report.html'}"]
    assert last.endswith("there are no labels, so no accuracy was measured.")
    assert (out / "embeddings.npz").exists()
    predicted = nearfar_command("predict", out, flat)
    assert predicted.code == 2
    assert "without labels" in predicted.err


def test_one_class_alone_trains_simclr_and_says_that_nothing_can_be_probed(
    tmp_path, photographs, nearfar_command
):
    out, data = tmp_path / "run", tmp_path / "data"
    (data / "leaf").mkdir(parents=True)
    for number, path in enumerate(sorted(photographs.rglob("*.png"))):
        shutil.copy(path, data / "leaf" / f"{number}.png")
    ended = nearfar_command(
        "train", data, "--method", "simclr", "--encoder", "conv4", "--out", out, "--epochs", "1"
    )
    assert ended.code == 0, ended.err
    assert "one class only in train (leaf): nothing measured" in ended.out
    assert read(out / "results.json")["measurements"] == []
    assert "one class only" in (out / "report.html").read_text(encoding="utf-8")
    probed = nearfar_command("probe", out)
    assert probed.code == 2
    assert "want at least 2 classes in train to probe with, got 1 (leaf)" in probed.err


def test_a_run_without_probes_says_so_in_place_of_a_table(tmp_path, nearfar_command):
    ended = nearfar_command(
        "train", "digits", "--out", tmp_path / "run", *QUICK, "--set", "evaluate.probes=[]"
    )
    assert ended.code == 0, ended.err
    undertrained, empty, *_ = ended.out.splitlines()  # one epoch is none, and there is no table
    assert undertrained.startswith("undertrained: after 1 epoch the loss, ")
    assert empty.startswith("evaluate.probes is empty")


def test_a_dataset_and_a_module_of_ones_own_train_from_python(tmp_path):
    class Pictures(torch.utils.data.Dataset):
        classes = ("leaf", "stem", "root")

        def __init__(self):
            self.rows = torch.randint(0, 255, (90, 3, 20, 20), dtype=torch.uint8)

        def __len__(self):
            return 90

        def __getitem__(self, i):
            return self.rows[i], i % 3

    own = nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    before = own[0].weight.detach().clone()
    run = nearfar.train(
        Pictures(), method="supcon", encoder=own, epochs=2, out=tmp_path / "run", quiet=True
    )
    assert run.results["encoder"]["width"] == 12
    assert run.results["data"]["classes"] == ["leaf", "stem", "root"]
    assert torch.equal(before, own[0].weight)
    model = nearfar.load(run.path, module=own)
    assert not torch.equal(before, model.encoder.net[0].weight)
    with pytest.raises(nearfar.NearfarError, match="module="):
        nearfar.load(run.path)


def test_balanced_batches_hold_each_class_equally_likely(tmp_path, photographs, monkeypatch):
    seen = []
    kind = nearfar.methods.method_class("supcon")
    real = kind.step

    def watch(self, batch):
        seen.append(batch.labels)
        return real(self, batch)

    monkeypatch.setattr(kind, "step", watch)
    options = {
        "data.sampling": "balanced",
        "train.steps_per_epoch": 40,
        "train.batch_size": 12,
        "encoder.name": "conv4",
    }
    options |= {"evaluate.probes": ["knn"], "data.size": 8, "evaluate.map_rows": 20}
    nearfar.train(
        photographs, method="supcon", epochs=1, out=tmp_path / "run", quiet=True, **options
    )
    counts = torch.bincount(torch.cat(seen), minlength=3).float()
    assert float((counts / counts.sum() - 1 / 3).abs().max()) < 0.07


def test_the_plan_says_data_encoder_views_optimizer_and_estimate_in_six_lines(
    tmp_path, nearfar_command
):
    ended = nearfar_command("train", "digits", "--out", tmp_path / "run", *QUICK)
    plan = [
        line
        for line in ended.err.splitlines()
        if line.startswith("  ") and not line.startswith(("  epoch", "  doctor"))
    ]
    assert [line.split()[0] for line in plan] == [
        "data",
        "encoder",
        "views",
        "optimizer",
        "estimate",
        "run",
    ]


@pytest.mark.parametrize(("epochs", "selections"), [(1, 10), (5, 2), (2, 0)])
def test_the_estimate_counts_the_images_that_evaluations_encode(
    tmp_path, monkeypatch, epochs, selections
):
    encoded, planned = [], []
    for module in (embeddings, judging):
        monkeypatch.setattr(module, "spread", lambda rows, most: rows[:most])
    for module in (embeddings, judging, features):
        real = module.extract
        monkeypatch.setattr(
            module, "extract", lambda *args, real=real: encoded.append(len(args[2])) or real(*args)
        )
    an_image = cost.Parts(step=0, epoch=0, image=1, probes=0, classifier=0, map=0)
    foresee = train_module.foreseen

    def foreseen(runs, *others):
        planned.append(cost.seconds_of(runs[0], an_image, floor=True))
        return foresee(runs, *others)

    monkeypatch.setattr(train_module, "foreseen", foreseen)
    options = QUICK_OPTIONS | {"evaluate.selections": selections}
    nearfar.train(
        "digits", method="supcon", epochs=epochs, out=tmp_path / "run", quiet=True, **options
    )
    ours = sum(encoded) - epochs * judging.JUDGED_ROWS
    # the selected encoder is measured only where it is not the last
    maybe = cost.SELECTED_SHARE * 1797 if epochs > 1 and selections else 0
    assert planned[0] - ours in (maybe, maybe - 1797)


def test_json_is_one_object_and_nothing_else_on_stdout(tmp_path, nearfar_command):
    ended = nearfar_command(
        "train", "digits", "--out", tmp_path / "run", "--json", "--quiet", *QUICK
    )
    content = json.loads(ended.out)
    assert content["run"] == str(tmp_path / "run")
    assert content["measurements"]
    assert ended.err == ""


def test_smoke_takes_two_steps(tmp_path, nearfar_command):
    ended = nearfar_command(
        "train", "digits", "--out", tmp_path / "run", "--smoke", "--json", "--quiet", *KNN_ONLY
    )
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["cost"]["steps"] == 2


def test_a_test_set_of_fewer_images_than_neighbors_is_reported(tmp_path, nearfar_command):
    out = tmp_path / "run"
    ended = nearfar_command(
        "train", "digits", "--out", out, "--smoke", "--set", "evaluate.map_rows=3"
    )
    assert ended.code == 0, ended.err
    with np.load(out / "embeddings.npz") as file:
        assert file["neighbors"].shape == (3, 10)
        assert (file["neighbors"][:, 2:] == -1).all()
    assert (out / "report.html").exists()


def test_evaluation_leaves_the_selected_encoder_beside_the_last(tiny_run):
    best = read(tiny_run / "results.json")["cost"]["selected_epoch"]
    rows = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    values = {row["epoch"]: row["knn.top1.val"] for row in rows if "knn.top1.val" in row}
    assert values[best] == max(values.values())


def test_the_selected_encoder_is_measured_where_it_is_not_the_last(
    tmp_path, monkeypatch, nearfar_command
):
    falling = iter((0.9, 0.1))
    monkeypatch.setattr(run_module, "selection_accuracy", lambda *_: next(falling))
    out = tmp_path / "run"
    assert (
        nearfar_command(
            "train", "digits", "--method", "supcon", "--out", out, *TINY, *KNN_ONLY
        ).code
        == 0
    )
    results = read(out / "results.json")
    assert results["cost"]["selected_epoch"] == 1
    last, selected = (
        next(
            m
            for m in results["measurements"]
            if m["name"] == "knn.top1" and m["selection"] == which
        )["value"]
        for which in ("last", "validation")
    )
    assert last != selected
