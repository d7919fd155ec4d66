"""The doctor on real runs: each planted illness is named as itself, where it is shown, and healthy
runs are silent.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Ended, call
from torch import nn

import nearfar
from nearfar.methods import METHODS

ILL = {
    "siamese": "ill_methods:Siamese",
    "wrong_partner": "ill_methods:WrongPartner",
    "assigning": "ill_methods:Assigning",
}
RUN = (
    "--epochs",
    "8",
    "--batch-size",
    "128",
    "--set",
    "evaluate.selections=0",
    "--set",
    # a number without an interval: whether so few epochs are worth something is not asked here
    'evaluate.probes=["few_label"]',
    "--set",
    "evaluate.map_rows=20",
)


@pytest.fixture
def ill_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("methods", "experiment.configuration", "api.check_run"):
        monkeypatch.setattr(f"nearfar.{place}.METHODS", {**METHODS, **ILL})


def train(out: Path, method: str, *more: str, data: str | Path = "digits") -> Ended:
    return call("train", data, "--method", method, "--out", out, *RUN, *more)


def verdicts(run: Path) -> list[dict[str, object]]:
    ended = call("check", run, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["verdicts"]


def diagnosis(run: Path) -> list[str]:
    return json.loads((run / "results.json").read_text(encoding="utf-8"))["diagnosis"]


PLANTED = [
    (
        "siamese",
        ("--set", "method.predictor=false"),
        "collapsed",
        "ill",
        "all projections are one point",
    ),
    ("wrong_partner", (), "pairs_never_meet", "ill", "the positives are not where the loss looks"),
    (
        "wrong_partner",
        ("--set", "method.partner=next"),
        "at_chance",
        "ill",
        "nothing of the task is learned",
    ),
    ("assigning", ("--set", "method.epsilon=100.0"), "assignment_stuck", "ill", "stayed at ln 50"),
    ("swav", ("--set", "method.epsilon=100.0"), "assignment_stuck", "ill", "stayed at ln 88"),
    (
        "cross_entropy",
        ("--set", "optimizer.lr=1e-12"),
        "at_chance",
        "ill",
        "nothing in the network moves",
    ),
    ("simclr", ("--set", "optimizer.lr=1e-12"), "not_moving", "watch", "it was 1e-12)"),
]


@pytest.mark.parametrize(("method", "settings", "code", "severity", "words"), PLANTED)
@pytest.mark.usefixtures("ill_methods")
def test_each_planted_illness_is_named_as_itself(tmp_path, method, settings, code, severity, words):
    run = tmp_path / "run"
    ended = train(run, method, *settings)
    assert ended.code == 0, ended.err
    found = verdicts(run)
    assert [(v["code"], v["severity"]) for v in found] == [(code, severity)]
    assert words in found[0]["text"]
    assert 1 <= found[0]["since_epoch"] <= 5


AT_ONCE = ("simclr", "siamese", "assigning")
# digits are too small or gray for them
OF_PHOTOGRAPHS = ("relative_position", "jigsaw", "counting", "colorization")
HEALTHY = [
    *AT_ONCE,
    *(
        pytest.param(method, marks=pytest.mark.ci)
        for method in METHODS
        if method not in (*AT_ONCE, *OF_PHOTOGRAPHS)
    ),
]


@pytest.mark.ci
@pytest.mark.parametrize("method", OF_PHOTOGRAPHS)
def test_a_healthy_run_on_photographs_is_silent(tmp_path, real_data, method):
    run = tmp_path / "run"
    ended = train(
        run, method, "--encoder", "conv4", "--size", "32", data=real_data / "flowers5.tar"
    )
    assert ended.code == 0, ended.err
    assert verdicts(run) == []
    assert diagnosis(run) == []
    assert call("check", run, "--strict").out.startswith("healthy: loss ")


@pytest.mark.parametrize("method", HEALTHY)
@pytest.mark.usefixtures("ill_methods")
def test_a_healthy_run_is_silent(tmp_path, method):
    run = tmp_path / "run"
    ended = train(run, method)
    assert ended.code == 0, ended.err
    assert verdicts(run) == []
    assert "doctor" not in ended.err
    assert diagnosis(run) == []
    shown = call("check", run, "--strict")
    assert shown.code == 0
    assert shown.out.startswith("healthy: loss ")
    assert len(shown.out.splitlines()) == 1


class Dead(nn.Module):
    """No image passes its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.ReLU())
        nn.init.constant_(self.layers[1].bias, -100.0)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layers(rows)


@pytest.mark.usefixtures("ill_methods")
def test_total_collapse_and_pairs_that_never_meet_are_two_verdicts_on_the_same_loss(tmp_path):
    """The tutorial's loss at ln N is a dead network; the same loss falling is one that looks in the
    wrong place.
    """
    options = {
        "evaluate.selections": 0,
        "evaluate.probes": ["knn"],
        "evaluate.map_rows": 20,
        "train.batch_size": 128,
    }
    run = tmp_path / "run"
    nearfar.train(
        "digits", method="wrong_partner", encoder=Dead(), epochs=8, out=run, quiet=True, **options
    )
    found = verdicts(run)
    assert [v["code"] for v in found] == ["collapsed"]
    assert found[0]["since_epoch"] == 1
    assert "effective rank 1.0 of 32, spread 0 " in found[0]["text"]
    assert "the loss is 5.545 at a chance level of 5.545" in found[0]["text"]


@pytest.mark.usefixtures("ill_methods")
def test_a_verdict_stands_on_stderr_once_in_the_results_the_report_and_the_exit_code(tmp_path):
    run = tmp_path / "run"
    ended = train(run, "siamese", "--set", "method.predictor=false")
    lines = [line for line in ended.err.splitlines() if "doctor" in line]
    assert len(lines) == 1
    assert lines[0].startswith("  doctor, epoch 7: collapsed: all projections are one point")
    assert (
        "doctor"
        not in train(
            tmp_path / "quiet", "siamese", "--set", "method.predictor=false", "--quiet"
        ).err
    )
    (text,) = diagnosis(run)
    assert text == verdicts(run)[0]["text"]
    assert text in ended.out.splitlines()
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "all projections are one point" in page
    strict = call("check", run, "--strict")
    assert strict.code == 2
    assert strict.out == f"{text}\n"


def test_most_anchors_without_a_positive_are_named(tmp_path):
    run = tmp_path / "run"
    ended = call(
        "train",
        "digits",
        "--method",
        "supcon",
        "--out",
        run,
        *RUN,
        "--epochs",
        "1",
        "--batch-size",
        "7",
        "--seed",
        "3",
        "--set",
        "views.count=1",
        "--set",
        "train.steps_per_epoch=2",
    )
    assert ended.code == 0, ended.err
    (found,) = verdicts(run)
    assert (found["code"], found["severity"], found["since_epoch"]) == ("no_positives", "watch", 1)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert f"{rows[0]['anchors_without_positive'] / 7:.0%} of a batch's rows" in found["text"]


@pytest.mark.usefixtures("ill_methods")
def test_a_run_that_a_nan_stopped_has_diverged_whether_or_not_an_epoch_was_complete(tmp_path):
    late, early = tmp_path / "late", tmp_path / "early"
    ended = train(late, "cross_entropy", "--set", "optimizer.lr=50.0")
    assert ended.code == 3
    (found,) = verdicts(late)
    complete = len((late / "metrics.jsonl").read_text().splitlines())
    assert complete > 0
    assert (found["code"], found["severity"], found["since_epoch"]) == (
        "diverged",
        "ill",
        complete + 1,
    )
    assert f"(epoch {complete + 1})" in found["text"]
    assert diagnosis(late)[0] == found["text"]
    assert (
        train(
            early,
            "cross_entropy",
            "--set",
            "optimizer.lr=1e30",
            "--set",
            "schedule.warmup_epochs=0",
        ).code
        == 3
    )
    assert not (early / "metrics.jsonl").exists()
    (found,) = verdicts(early)
    assert (found["code"], found["since_epoch"]) == ("diverged", 1)
    assert "optimizer.lr=1e+29" in found["text"]


def test_a_loss_that_rises_far_above_its_start_has_diverged_without_a_nan(tmp_path):
    run = tmp_path / "run"
    ended = train(
        run, "cross_entropy", "--set", "optimizer.lr=30.0", "--set", "schedule.warmup_epochs=4"
    )
    assert ended.code == 0, ended.err
    # the loss rises a millionfold; where the network then dies, that is what is told
    (verdict,) = verdicts(run)
    assert verdict["code"] in {"diverged", "collapsed"}


@pytest.mark.usefixtures("ill_methods")
def test_a_resumed_run_forgets_why_it_stopped_and_repeats_no_verdict(tmp_path):
    run = tmp_path / "run"
    whole = train(run, "siamese", "--set", "method.predictor=false")
    assert whole.code == 0
    again = tmp_path / "again"
    shutil.copytree(run, again)
    content = json.loads((again / "results.json").read_text())
    (again / "results.json").write_text(json.dumps(content | {"complete": False}))
    (again / "stopped.json").write_text(
        '{"code": "diverged", "epoch": 3, "text": "the loss is nan"}'
    )
    assert [v["code"] for v in verdicts(again)] == ["diverged"]
    ended = train(again, "siamese", "--set", "method.predictor=false", "--resume")
    assert ended.code == 0, ended.err
    assert not (again / "stopped.json").exists()
    assert verdicts(again) == verdicts(run)
    assert diagnosis(again) == diagnosis(run)


def test_an_old_run_is_judged_by_what_its_rows_hold(tmp_path):
    run = tmp_path / "old"
    run.mkdir()
    (run / "run.toml").write_text('[method]\nname = "simclr"\n')
    rows = [
        {"epoch": e, "step": 20 * e, "loss": 5.541, "chance": 5.541, "lr": 0.1} for e in range(1, 6)
    ]
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + '{"epoch": 6, "lo'
    )
    assert [v["code"] for v in verdicts(run)] == ["at_chance"]
    rows = [row | {"loss": 4 - row["epoch"] / 10} for row in rows]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call("check", run).out == "healthy: loss 3.500 (chance 5.541) after epoch 5\n"
    (run / "metrics.jsonl").unlink()
    assert call("check", run).out == "nothing to judge: no epoch is complete\n"


def test_damaged_files_and_folders_of_another_kind_are_refused(tmp_path, tiny_run):
    run = tmp_path / "method" / "seed0"
    shutil.copytree(tiny_run, run)
    ended = call("check", tmp_path)
    assert ended.code == 2
    assert f"holds a comparison; give one of its runs, such as {run}" in ended.err
    ended = call("check", run, "--views", "simclr")
    assert ended.code == 2
    assert "is a run" in ended.err
    for name, content in (
        ("metrics.jsonl", "nonsense\n{}\n"),
        ("stopped.json", '{"code": 1}'),
        ("stopped.json", "{"),
    ):
        shutil.copy(tiny_run / "metrics.jsonl", run)
        (run / name).write_text(content)
        ended = call("check", run)
        assert ended.code == 2, name
        assert name in ended.err
