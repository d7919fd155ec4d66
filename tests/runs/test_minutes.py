"""`--minutes`: runs that end in time, by epochs that stand in run.toml."""

import json
import shutil
import time
import tomllib

import pytest

import nearfar
from nearfar.core.errors import UserError

FAST = {"evaluate.probes": ["knn"], "evaluate.map_rows": 20, "train.batch_size": 256}
MINUTES = 0.2  # a machine that does much else needs some of them for one epoch


def config(path):
    return tomllib.loads((path / "run.toml").read_text(encoding="utf-8"))


def rows(path):
    kept = ("epoch", "step", "loss", "lr", "knn.top1.val")
    lines = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: json.loads(line).get(name) for name in kept} for line in lines]


@pytest.fixture(scope="module")
def in_time(tmp_path_factory):
    """A run of twelve seconds, and how long it took. Not to be changed."""
    out = tmp_path_factory.mktemp("minutes") / "run"
    nearfar.train("digits", epochs=1, out=out.parent / "warm", quiet=True, **FAST)
    started = time.perf_counter()
    nearfar.train("digits", minutes=MINUTES, out=out, quiet=True, **FAST)
    return out, time.perf_counter() - started


def test_a_run_ends_near_its_minutes(in_time):
    # generous: other processes come and go on the machines that run this
    assert 0.4 < in_time[1] / (60 * MINUTES) < 1.8


def test_the_epochs_stand_in_run_toml_and_the_rate_ends_with_them(in_time):
    train = config(in_time[0])["train"]
    steps = train.get("steps_per_epoch", 1077 // 256)
    found = rows(in_time[0])
    assert [row["epoch"] for row in found] == list(range(1, train["epochs"] + 1))
    assert found[-1]["step"] == train["epochs"] * steps
    assert found[-1]["lr"] < 0.2 * max(row["lr"] for row in found)


@pytest.mark.ci
def test_the_same_run_is_repeated_without_minutes_bit_for_bit(in_time, tmp_path):
    first, again = in_time[0], tmp_path / "again"
    nearfar.train("digits", recipe=first / "run.toml", out=again, quiet=True)
    assert config(first) == config(again)
    assert rows(first) == rows(again)
    numbers = [json.loads((run / "results.json").read_text("utf-8")) for run in (first, again)]
    for part in ("measurements", "untrained"):
        values = [[m["value"] for m in results[part]] for results in numbers]
        assert values[0] == values[1] != []


@pytest.mark.ci
def test_a_comparison_has_equal_epochs_and_measures_each_start_once(tmp_path, capsys):
    done = nearfar.compare(
        "digits", methods="cross_entropy,simclr", seeds=2, minutes=0.5, out=tmp_path / "c", **FAST
    )
    folders = [
        done.path / method / f"seed{seed}"
        for method in ("cross_entropy", "simclr")
        for seed in range(2)
    ]
    lengths = {
        tuple(config(folder)["train"].get(key) for key in ("epochs", "steps_per_epoch"))
        for folder in folders
    }
    assert len(lengths) == 1
    said = capsys.readouterr().err
    assert "measuring the first steps of cross_entropy, simclr" in said
    assert "run 3 of 4: cross_entropy, seed 1; about " in said
    assert said.count("fit into the rest") == 1
    # a resumed command with minutes decides nothing anew
    (folders[-1] / "results.json").unlink()
    nearfar.compare(
        "digits",
        methods="cross_entropy,simclr",
        seeds=2,
        minutes=7,
        out=done.path,
        resume=True,
        **FAST,
    )
    said = capsys.readouterr().err
    assert "goes on in" in said
    assert "measuring" not in said
    epochs = next(iter(lengths))[0]
    assert f"resumes after the last of {epochs} epochs, about " in said


def test_a_resumed_run_keeps_its_length_and_says_where_it_goes_on(in_time, tmp_path, capsys):
    out = shutil.copytree(in_time[0], tmp_path / "run")
    before = config(out)
    (out / "results.json").unlink()
    nearfar.train("digits", minutes=3, out=out, resume=True, **FAST)
    assert config(out) == before
    said = capsys.readouterr().err
    assert f"goes on in {out}" in said
    assert "estimate" not in said


def test_two_lengths_are_refused_in_one_line(nearfar_command):
    for asked in (("--epochs", "3"), ("--smoke",), ("--set", "train.epochs=3")):
        ended = nearfar_command("train", "digits", "--minutes", "5", *asked, "--quiet")
        assert ended.code == 2
        which = "--smoke" if asked == ("--smoke",) else "--epochs"
        assert ended.err == (
            f"nearfar: --minutes decides the epochs; leave out either --minutes or {which}\n"
        )


def test_too_little_is_refused_and_leaves_nothing(tmp_path):
    out = tmp_path / "c"
    with pytest.raises(UserError, match=r"one epoch of each of 6 runs.*would fit: --minutes [0-9]"):
        nearfar.compare(
            "digits", methods="supcon,simclr", seeds=3, minutes=0.001, out=out, quiet=True
        )
    assert not out.exists()
    with pytest.raises(UserError, match=r"--minutes: want more than 0, got 0"):
        nearfar.train("digits", minutes=0, out=out, quiet=True)


def _weights(folder):
    run = nearfar.train(
        "digits", method="simclr", epochs=1, out=folder / "run", quiet=True,
        **{"train.steps_per_epoch": 1, **FAST},
    )  # fmt: skip
    return run.path


def test_a_method_that_diverges_does_not_keep_the_others_from_their_minutes(tmp_path):
    done = nearfar.compare(
        "digits",
        methods=["frozen", "cross_entropy"],
        seeds=1,
        minutes=0.4,
        out=tmp_path / "c",
        quiet=True,
        **FAST,
        **{"encoder.weights": str(_weights(tmp_path)), "optimizer.lr": 1e9},
    )
    assert [run["method"] for run in done.results["failed"]] == ["cross_entropy"]
    assert done.results["methods"] == ["frozen"]


@pytest.mark.ci
def test_trials_are_of_the_runs_that_fit_and_count_in_their_time(tmp_path):
    started = time.perf_counter()
    done = nearfar.compare(
        "digits",
        methods="cross_entropy",
        seeds=1,
        minutes=0.6,
        tune=True,
        out=tmp_path / "c",
        quiet=True,
        **FAST,
    )
    assert time.perf_counter() - started < 1.8 * 36
    run = config(done.path / "cross_entropy" / "seed0")
    (tuning,) = done.results["tuning"]
    assert max(trial["epochs"] for trial in tuning["trials"]) <= run["train"]["epochs"] < 3000
    assert run["optimizer"]["lr"] == pytest.approx(tuning["chosen"]["optimizer.lr"])
