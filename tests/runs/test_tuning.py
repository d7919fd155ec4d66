"""`compare --tune`, whole: equal trials for each method, what is chosen and written, what stops."""

import json
import re
import tomllib
from pathlib import Path

import pytest

import nearfar
from nearfar.api import trials as api
from nearfar.data.samples import ImageSamples
from nearfar.evaluate.case import Verdict
from nearfar.experiment import tuning, watch
from nearfar.run_folder.comparison import Trial

METHODS = ["cross_entropy", "simclr"]
QUICK = {
    "train.batch_size": 128,
    "train.steps_per_epoch": 2,
    "evaluate.probes": ["knn"],
    "evaluate.selections": 0,
    "evaluate.map_rows": 20,
}


def compare(out: Path, **more):
    asked = {"methods": METHODS, "seeds": 1, "epochs": 4, "tune": True, "quiet": True, **QUICK}
    return nearfar.compare("digits", out=out, **{**asked, **more}).results


def of(results, method):
    return next(tuning for tuning in results["tuning"] if tuning["method"] == method)


def lengths(tuned):
    return [trial["epochs"] for trial in tuned["trials"]]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Folder and results. While a trial runs, a look at a test image is an error."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    real_trial, real_split, in_trial = api.run_trial, ImageSamples.split, []

    def watched_trial(*arguments):
        in_trial.append(True)
        try:
            return real_trial(*arguments)
        finally:
            in_trial.pop()

    def split(samples, name):
        assert name != "test" or not in_trial, "a trial looked at the test images"
        return real_split(samples, name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(api, "run_trial", watched_trial)
        patched.setattr(ImageSamples, "split", split)
        return out, compare(out)


def test_each_method_has_the_same_trials_and_runs_with_what_was_best(tuned):
    out, results = tuned
    assert [found["method"] for found in results["tuning"]] == METHODS
    for method in METHODS:
        found = of(results, method)
        assert lengths(found) == [1] * 8 + [2] * 2
        assert found["trials"][0]["settings"] == found["defaults"]
        last = [trial for trial in found["trials"] if trial["epochs"] == 2]
        assert found["score"] == max(trial["score"] for trial in last)
        assert found["default_score"] == last[0]["score"]
        run = tomllib.loads((out / method / "seed0" / "run.toml").read_text(encoding="utf-8"))
        for path, value in found["chosen"].items():
            section, key = path.split(".")
            assert run[section][key] == value
        assert run["train"]["epochs"] == 4
    assert set(of(results, "cross_entropy")["defaults"]) == {"optimizer.lr"}
    assert set(of(results, "simclr")["defaults"]) == {"optimizer.lr", "method.temperature"}


def test_what_tuning_cost_is_counted_and_the_page_shows_it(tuned):
    out, results = tuned
    for method in METHODS:
        found = of(results, method)
        assert found["seconds"] == pytest.approx(
            sum(trial["seconds"] for trial in found["trials"]), abs=0.02
        )
        costs = [
            row["mean"]
            for row in results["table"]
            if (row["method"], row["name"]) == (method, "cost.tuning_seconds")
        ]
        assert costs == [found["seconds"]]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "linear probe on 360 validation images" in page
    assert "8 of 1 epoch, 2 of 2 epochs" in page
    assert json.loads((out / "compare.json").read_text(encoding="utf-8")) == results


def test_resume_keeps_finished_trials(tmp_path, monkeypatch, capsys):
    out, made = tmp_path / "out", []

    def trial(job, settings, _bar):
        if len(made) == 11:
            made.append("stopped")
            raise KeyboardInterrupt
        made.append(job.setup.method_name)
        return Trial(settings=settings, epochs=job.setup.epochs, score=len(made) / 50)

    monkeypatch.setattr(api, "run_trial", trial)
    with pytest.raises(KeyboardInterrupt):
        compare(out, quiet=False)
    assert f"--out {out} --resume" in capsys.readouterr().err
    results = compare(out, resume=True)
    assert made == ["cross_entropy"] * 10 + ["simclr", "stopped"] + ["simclr"] * 9
    assert [trial["score"] for trial in of(results, "cross_entropy")["trials"]] == [
        pytest.approx(n / 50) for n in range(1, 11)
    ]
    with pytest.raises(nearfar.NearfarError, match="begun with other settings"):
        compare(out, resume=True, tune=False)
    assert len(made) == 21


def test_a_comparison_begun_without_tuning_is_not_resumed_with_it(tmp_path):
    compare(tmp_path / "out", tune=False, smoke=True)
    with pytest.raises(nearfar.NearfarError, match="begun without --tune"):
        compare(tmp_path / "out", resume=True, smoke=True)


def test_a_trial_that_diverges_or_is_refused_loses_and_the_comparison_goes_on(
    tmp_path, monkeypatch
):
    real = tuning.candidates

    def wild(tuned):
        defaults = real(tuned)[0]
        return [defaults, {**defaults, "optimizer.lr": 1e25}, {**defaults, "optimizer.lr": -1.0}]

    monkeypatch.setattr(tuning, "candidates", wild)
    found = of(compare(tmp_path / "out", methods=["simclr"]), "simclr")
    _, diverged, refused = found["trials"]
    assert (diverged["score"], refused["score"]) == (None, None)
    assert "finite" in diverged["lost"]
    assert "optimizer.lr" in refused["lost"]
    assert found["chosen"] == found["defaults"]
    assert "2 lost" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_collapse_loses_however_good_the_probe_is(tmp_path, monkeypatch):
    def ill(_rows, known):
        return (
            [Verdict(code="collapsed", severity="ill", since_epoch=1, text="one point")]
            if known.lr == 1.0
            else []
        )

    monkeypatch.setattr(watch, "judge", ill)
    monkeypatch.setattr(tuning, "candidates", lambda _: [{"optimizer.lr": lr} for lr in (0.1, 1.0)])
    monkeypatch.setattr(tuning, "moved", lambda settings, _: settings)
    found = of(compare(tmp_path / "out", methods=["cross_entropy"]), "cross_entropy")
    assert [trial["lost"] for trial in found["trials"]] == ["", "one point"]


COMMAND = ("compare", "digits", "--smoke", "--seeds", "1", "--set", 'evaluate.probes=["knn"]')


def test_the_plan_says_what_is_tried_and_where_it_is_longer_than_the_run(
    tmp_path, nearfar_command, monkeypatch
):
    monkeypatch.setattr(
        api,
        "run_trial",
        lambda job, settings, _bar: Trial(settings=settings, epochs=job.setup.epochs, score=0.5),
    )
    one = nearfar_command(
        *COMMAND, "--methods", "supcon", "--tune", "--out", tmp_path / "a", "--set",
        "optimizer.lr=0.2",
    )  # fmt: skip
    assert one.code == 0, one.err
    assert re.search(
        r"tuning     method\.temperature, on validation: of each method 8 trials of 1 epoch, as long"
        r" as 8 of its runs; about \d+ s of the time; longer than the run itself \(8 epochs against"
        r" 1\)",
        one.err,
    )
    assert "warning" not in one.err
    assert "tuned on validation: supcon: the defaults (50.0 %); 8 trials" in one.out
    two = nearfar_command(*COMMAND, "--methods", "supcon,simclr", "--out", tmp_path / "b", "--set",
                          "optimizer.lr=0.2")  # fmt: skip
    assert "warning    optimizer.lr: one value for all methods" in two.err
    assert "--tune" in two.err
    demo = nearfar_command("demo", *COMMAND[2:], "--out", tmp_path / "c")
    assert demo.code == 0, demo.err
    assert "warning" not in demo.err


def test_tuning_wants_something_to_tune_and_labels_to_judge_by(
    tmp_path, photographs, nearfar_command
):
    out = ("--tune", "--out", tmp_path / "out")
    fixed = ("--set", "optimizer.lr=0.2", "--set", "method.temperature=0.1")
    ended = nearfar_command(*COMMAND, "--methods", "supcon,simclr", *fixed, *out)
    assert ended.code == 2
    assert "nothing is left to tune" in ended.err
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(photographs.rglob("*.png"))):
        (flat / f"{number}.png").write_bytes(path.read_bytes())
    ended = nearfar_command("compare", flat, "--methods", "simclr", "--encoder", "conv4", *out)
    assert ended.code == 2
    assert "--tune: wants labeled" in ended.err
    assert not (tmp_path / "out").exists()
