"""The commands around a run: compare, probe, predict, embed, report, check, lists."""

import csv
import errno
import json
import shlex
import shutil
import statistics
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nearfar
from nearfar.api.across_seeds import compare_pairs, seeds_needed, welch_interval
from nearfar.core.errors import TrainingStoppedError
from nearfar.methods import METHODS, method_class
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Results

OPTIONS = {
    "train.batch_size": 256,
    "evaluate.selections": 0,
    "evaluate.probes": ["linear"],
    "evaluate.map_rows": 20,
}
QUICK = (
    "--epochs",
    "1",
    "--batch-size",
    "128",
    "--set",
    "evaluate.selections=0",
    "--set",
    "evaluate.map_rows=20",
)

# methods that cut parts out of views: the photographs have 16 px
CUT_UP = {"relative_position", "jigsaw", "counting"}
KNN_ONLY = ("--set", 'evaluate.probes=["knn"]', "--set", "evaluate.map_rows=20")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> Path:
    """cross_entropy and simclr on the digits, one epoch, two seeds."""
    out = tmp_path_factory.mktemp("compare") / "out"
    nearfar.compare(
        "digits",
        methods=["cross_entropy", "simclr"],
        seeds=2,
        epochs=1,
        out=out,
        quiet=True,
        **OPTIONS,
    )
    return out


def test_the_demo_takes_what_compare_takes_and_keeps_its_own_defaults(tmp_path, nearfar_command):
    options = (
        "--methods",
        "simclr",
        "--seeds",
        "1",
        *QUICK[:2],
        "--set",
        "schedule.decay=constant",
    )
    ended = nearfar_command(
        "demo", *options, "--smoke", "--out", tmp_path / "demo", "--json", "--quiet"
    )
    assert ended.code == 0, ended.err
    assert {row["method"] for row in json.loads(ended.out)["table"]} == {"simclr", "untrained"}
    settings = RunFolder(tmp_path / "demo" / "simclr" / "seed0").read_config()
    assert (settings["train"]["epochs"], settings["train"]["batch_size"]) == (1, 8)
    assert (settings["optimizer"]["lr"], settings["schedule"]["decay"]) == (0.5, "constant")


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_comparison_holds_a_row_for_every_number_of_every_method(comparison):
    found = read(comparison / "compare.json")
    rows = {(row["method"], row["name"], row["selection"]): row for row in found["table"]}
    for method, selection in (("cross_entropy", "last"), ("simclr", "last"), ("untrained", None)):
        row = rows[method, "linear_probe.top1", selection]
        assert row["seeds"] == 2
        assert 0 < row["mean"] < 1
        assert row["sd"] is not None
    assert ("cross_entropy", "head.top1", "last") in rows
    assert ("simclr", "head.top1", "last") not in rows
    assert rows["simclr", "cost.train_seconds", None]["mean"] > 0
    assert rows["simclr", "cost.peak_memory_bytes", None]["mean"] is None
    assert [Path(run) for run in found["runs"]] == [
        Path(method, f"seed{seed}") for seed in (0, 1) for method in ("cross_entropy", "simclr")
    ]
    assert Path(found["report"]).exists()


def test_methods_of_a_comparison_start_from_the_same_encoder_and_images(comparison):
    first, second = (
        read(comparison / m / "seed0" / "results.json") for m in ("cross_entropy", "simclr")
    )
    assert first["untrained"] == second["untrained"]
    assert first["data"] == second["data"]
    assert first["train"]["epochs"] == second["train"]["epochs"]
    other = read(comparison / "simclr" / "seed1" / "results.json")
    assert other["untrained"] != second["untrained"]


def test_a_comparison_resumes_without_training_again(comparison):
    before = (comparison / "simclr" / "seed1" / "results.json").stat().st_mtime_ns
    methods = ["cross_entropy", "simclr"]
    again = nearfar.compare(
        "digits",
        methods=methods,
        seeds=2,
        epochs=1,
        out=comparison,
        resume=True,
        quiet=True,
        **OPTIONS,
    )
    assert (comparison / "simclr" / "seed1" / "results.json").stat().st_mtime_ns == before
    assert again.results["table"]


def test_a_comparison_whose_run_lost_its_encoder_gets_it_back_by_resume(comparison):
    encoder = comparison / "simclr" / "seed1" / "encoder/model.safetensors"
    before = encoder.read_bytes()
    encoder.unlink()
    (comparison / "report.html").unlink()
    nearfar.compare(
        "digits",
        methods=["cross_entropy", "simclr"],
        seeds=2,
        epochs=1,
        out=comparison,
        resume=True,
        quiet=True,
        **OPTIONS,
    )
    assert encoder.read_bytes() == before
    assert (comparison / "report.html").exists()


def test_methods_may_be_one_text_from_python(comparison):
    """A text is names with commas between them, as on the command line, not a sequence of
    letters.
    """
    methods = "cross_entropy, simclr"
    again = nearfar.compare(
        "digits",
        methods=methods,
        seeds=2,
        epochs=1,
        out=comparison,
        resume=True,
        quiet=True,
        **OPTIONS,
    )
    assert again.results["methods"] == ["cross_entropy", "simclr"]


def test_a_disk_that_is_full_for_the_table_alone_says_that_the_runs_are_complete(
    comparison, monkeypatch
):
    def full(_folder, _content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "write_comparison", full)
    methods = ["cross_entropy", "simclr"]
    with pytest.raises(
        TrainingStoppedError,
        match=r"No space left.*runs are complete: make room.*--out .* --resume",
    ):
        nearfar.compare(
            "digits",
            methods=methods,
            seeds=2,
            epochs=1,
            out=comparison,
            resume=True,
            quiet=True,
            **OPTIONS,
        )


@pytest.mark.parametrize("way", ["--resume", "--force"])
def test_a_comparison_and_a_run_do_not_take_each_other_s_folder(comparison, nearfar_command, way):
    run = comparison / "simclr" / "seed0"
    before = [path.stat().st_mtime_ns for path in sorted(comparison.rglob("*"))]
    ended = nearfar_command("compare", "digits", "--out", run, way, *QUICK)
    assert ended.code == 2
    assert f"{run} holds one run" in ended.err
    ended = nearfar_command("train", "digits", "--out", comparison, way, *QUICK)
    assert ended.code == 2
    assert f"{comparison} holds a comparison" in ended.err
    assert before == [path.stat().st_mtime_ns for path in sorted(comparison.rglob("*"))]


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (OSError(errno.ENOSPC, "no room"), 3)]
)
def test_a_comparison_that_stops_names_its_own_folder_and_resumes(
    tmp_path, nearfar_command, monkeypatch, stop, code
):
    out = tmp_path / "out"
    methods = ("--methods", "cross_entropy,simclr", "--seeds", "1")
    command = ("compare", "digits", *methods, "--smoke", "--out", out, *KNN_ONLY)
    real = RunFolder.append_metrics

    def stop_in_simclr(folder, row):
        if folder.path.parent.name == "simclr":
            raise stop
        real(folder, row)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "append_metrics", stop_in_simclr)
        ended = nearfar_command(*command)
    assert ended.code == code, ended.err
    assert (
        f"1 of 2 runs are complete in {out}; continue with the same command and --out {out}"
        " --resume" in ended.err
    )
    assert f"--out {out / 'simclr'}" not in ended.err
    assert nearfar_command(*command, "--resume").code == 0
    assert (out / "compare.json").exists()


@pytest.mark.parametrize(
    ("interrupted", "report"),
    [
        ("nearfar.experiment.page.write_report", "but for its report: the same command with --out"),
        ("nearfar.api.report.ending", "with its report "),
    ],
)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_an_interrupt_after_the_work_says_what_is_finished_and_where(
    tmp_path, nearfar_command, monkeypatch, command, interrupted, report
):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    which = {"train": ("--method", "simclr"), "compare": ("--methods", "simclr", "--seeds", "1")}
    asked = (command, "digits", *which[command], "--smoke", "--out", out, *KNN_ONLY)
    with monkeypatch.context() as patched:
        patched.setattr(interrupted, stop)
        ended = nearfar_command(*asked)
    assert ended.code == 130, ended.err
    assert f"all is finished in {out}, {report}" in ended.err
    assert "Traceback" not in ended.err
    assert nearfar_command(*asked, "--resume").code == 0
    assert (out / "report.html").exists()


def test_a_comparison_ends_with_the_run_to_use_and_the_lines_that_use_it(
    comparison, photographs, tmp_path, nearfar_command
):
    found = read(comparison / "compare.json")
    use, scores = found["use"], {}
    for run in found["runs"]:
        scores[run] = read(comparison / run / "results.json")["predicted_by"]["validation"]
    assert scores[use] == max(scores.values())
    ended = nearfar_command("report", comparison)
    assert ended.code == 0
    page = (comparison / "report.html").read_text(encoding="utf-8")
    command = f"nearfar predict {comparison / use} NEW_IMAGES/ --out predictions.csv"
    assert command in page
    typed = shlex.split(command.replace("NEW_IMAGES/", str(photographs)))[1:]
    assert nearfar_command(*typed[:3]).code == 0
    one = tmp_path / "one"
    asked = ("train", "digits", "--method", "simclr", "--smoke", "--out", one)
    told = nearfar_command(*asked, "--set", "evaluate.map_rows=20").out.splitlines()
    assert told[-3].startswith("to use: simclr, seed 0: its linear probe gets ")
    assert told[-2].split()[:3] == ["nearfar", "predict", str(one)]
    assert told[-1].startswith("  import nearfar; model = nearfar.load(")


def test_a_comparison_outlives_a_run_that_fails_and_names_it(
    tmp_path, nearfar_command, monkeypatch
):
    out = tmp_path / "out"
    methods = ("--methods", "cross_entropy,simclr,supcon", "--seeds", "2")
    command = ("compare", "digits", *methods, "--smoke", "--out", out, *KNN_ONLY)
    real = RunFolder.append_metrics

    def stop_some(folder, row):
        if folder.path.parent.name == "simclr" or folder.path.parts[-2:] == ("supcon", "seed1"):
            raise TrainingStoppedError("it diverged")
        real(folder, row)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "append_metrics", stop_some)
        ended = nearfar_command(*command)
    assert ended.code == 3, ended.err
    assert "3 of 6 runs failed (simclr seed 0, simclr seed 1, supcon seed 1;" in ended.err
    assert f"--out {out} --resume" in ended.err
    rows = {line.partition("  ")[0]: line for line in ended.out.splitlines()}
    assert {"cross_entropy", "supcon (1 failed)", "simclr (2 failed)"} <= set(rows)
    assert "failed: simclr, seed 1: it diverged" in ended.out
    found = read(out / "compare.json")
    assert found["methods"] == ["cross_entropy", "supcon"]
    assert found["runs"] == ["cross_entropy/seed0", "supcon/seed0", "cross_entropy/seed1"]
    seeds = {row["method"]: row["seeds"] for row in found["table"] if row["name"] == "knn.top1"}
    assert seeds == {"untrained": 2, "cross_entropy": 2, "supcon": 1}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<b>simclr</b>, seed 0, failed: it diverged" in page
    assert nearfar_command(*command, "--resume").code == 0
    again = read(out / "compare.json")
    assert (again["failed"], len(again["runs"])) == ([], 6)


def test_a_comparison_of_which_every_run_fails_stops(tmp_path, nearfar_command, monkeypatch):
    def stop(_folder, _row):
        raise TrainingStoppedError("it diverged")

    monkeypatch.setattr(RunFolder, "append_metrics", stop)
    out = tmp_path / "out"
    methods = ("--methods", "cross_entropy,simclr", "--seeds", "1")
    ended = nearfar_command("compare", "digits", *methods, "--smoke", "--out", out, *KNN_ONLY)
    assert ended.code == 3, ended.err
    assert f"it diverged; 0 of 2 runs are complete in {out}" in ended.err
    assert not (out / "compare.json").exists()


def test_all_methods_lists_those_that_do_not_fit_with_their_reason(
    tmp_path, photographs, nearfar_command
):
    unlabeled = tmp_path / "flat"
    unlabeled.mkdir()
    for number, path in enumerate(sorted(photographs.rglob("*.png"))):
        (unlabeled / f"{number}.png").write_bytes(path.read_bytes())
    ended = nearfar_command(
        "compare",
        unlabeled,
        "--methods",
        "all",
        "--seeds",
        "1",
        "--encoder",
        "conv4",
        "--json",
        "--quiet",
        "--out",
        tmp_path / "out",
        "--epochs",
        "1",
    )
    assert ended.code == 0, ended.err
    left = {entry["method"]: entry["reason"] for entry in json.loads(ended.out)["left_out"]}
    assert set(left) == {name for name in METHODS if method_class(name).needs_labels} | CUT_UP
    for name, reason in left.items():
        assert (
            "needs images of at least 32 px, these have" if name in CUT_UP else "labels"
        ) in reason


def test_colorization_is_refused_or_left_out_where_all_images_are_gray(tmp_path, nearfar_command):
    reason = "colorization needs images with colors, and all of digits are gray"
    out = ("--out", tmp_path / "run")
    checked = nearfar_command("check", "digits")
    assert f"note     {reason}" in checked.out
    assert "colorization" not in checked.out.splitlines()[-1]
    ended = nearfar_command("train", "digits", "--method", "colorization", *out)
    assert ended.code == 2
    assert reason in ended.err
    ended = nearfar_command("compare", "digits", "--methods", "simclr,colorization", *out)
    assert ended.code == 2
    assert reason in ended.err
    assert not (tmp_path / "run").exists()
    with pytest.MonkeyPatch.context() as patched:
        for name in set(METHODS) - {"simclr", "colorization"}:
            patched.setattr(
                method_class(name),
                "why_not",
                classmethod(lambda _cls, _data: "takes too long here"),
            )
        ended = nearfar_command(
            "compare",
            "digits",
            "--methods",
            "all",
            "--seeds",
            "1",
            "--json",
            *QUICK,
            *KNN_ONLY[:2],
            *out,
        )
    assert ended.code == 0, ended.err
    left = {entry["method"]: entry["reason"] for entry in json.loads(ended.out)["left_out"]}
    assert f"colorization {left['colorization']}" == reason
    assert f"left out   colorization: {left['colorization']}" in ended.err
    assert {row["method"] for row in json.loads(ended.out)["table"]} == {"simclr", "untrained"}


@pytest.fixture
def partly_labeled(tmp_path, photographs) -> Path:
    """Photographs in three uneven classes, and 30 without a label beside them: no two are equal."""
    root = tmp_path / "partly"
    paths = sorted(photographs.rglob("*.png"))
    for turn, (name, chosen) in enumerate(
        (("a", paths[:30]), ("b", paths[30:]), ("c", paths[:8]), ("unlabeled", paths[:30]))
    ):
        (root / name).mkdir(parents=True)
        for number, path in enumerate(chosen):
            Image.open(path).rotate(90 * turn, expand=True).save(root / name / f"{number}.png")
    return root


def test_methods_that_train_on_other_images_have_their_own_batch_and_plan_and_page_say_so(
    tmp_path, partly_labeled, nearfar_command
):
    out = tmp_path / "out"
    ended = nearfar_command(
        "compare",
        partly_labeled,
        "--seeds",
        "1",
        "--encoder",
        "conv4",
        "--out",
        out,
        "--epochs",
        "1",
    )
    assert ended.code == 0, ended.err
    trained = "trained on 43 images (cross_entropy), 73 images (supcon, simclr)"
    assert trained in ended.err
    assert trained in ended.out
    batches = "batches of 4 (cross_entropy), 8 (supcon, simclr)"
    assert f"{trained}, {batches};" in ended.err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"The methods were {trained}." in page
    assert f"1 epoch, {batches}" in page
    assert read(out / "compare.json")["images"] == {"cross_entropy": 43, "supcon": 73, "simclr": 73}
    for method, batch in (("cross_entropy", 4), ("supcon", 8), ("simclr", 8)):
        assert read(out / method / "seed0" / "results.json")["train"]["batch_size"] == batch


def test_balanced_batches_are_left_out_where_they_cannot_be_and_advised_where_they_can(
    tmp_path, partly_labeled, nearfar_command
):
    ended = nearfar_command(
        "compare",
        partly_labeled,
        "--methods",
        "all",
        "--seeds",
        "1",
        "--encoder",
        "conv4",
        "--json",
        "--quiet",
        "--out",
        tmp_path / "out",
        "--epochs",
        "1",
        "--set",
        "data.sampling=balanced",
    )
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert {entry["method"] for entry in said["left_out"]} == CUT_UP
    left = {entry["method"]: entry["reason"] for entry in said["unbalanced"]}
    kinds = {name: method_class(name) for name in METHODS}
    assert set(left) == {
        name for name, kind in kinds.items() if kind.takes_unlabeled or not kind.needs_labels
    }
    assert left["simclr"].startswith("learns without labels")
    assert left["supcon"].startswith("wants a class for each image")
    for name in set(METHODS) - CUT_UP:
        config = tomllib.loads((tmp_path / "out" / name / "seed0" / "run.toml").read_text())
        assert (config["data"]["sampling"] == "balanced") == (name not in left)

    def advice() -> str:
        found = json.loads(nearfar_command("check", partly_labeled, "--json").out)["findings"]
        return next(f["text"] for f in found if f["code"] == "balanced_advised")

    assert advice().endswith(f"(for {', '.join(name for name in METHODS if name not in left)})")
    shutil.rmtree(partly_labeled / "unlabeled")
    assert advice().endswith(
        f"(for {', '.join(name for name, kind in kinds.items() if kind.needs_labels)})"
    )


def test_differences_are_judged_against_the_noise_of_the_seeds():
    judged_by = {"name": "linear_probe.top1", "split": "test", "selection": "last"}

    like = {"title": "linear probe", "unit": "fraction", "better": "higher"}

    def result(method, seed, value):
        floor = {"name": "linear_probe.top1", "split": "test", "value": 0.3 + 0.001 * seed}
        return Results.model_validate(
            {
                "method": method,
                "seed": seed,
                "data": {"name": "digits"},
                "measurements": [{**judged_by, **like, "value": value}],
                "untrained": [{**floor, **like}],
                "shown": ["linear_probe.top1"],
                "judged_by": judged_by,
            }
        )

    far = [result("a", s, 0.9 + 0.001 * s) for s in range(3)] + [
        result("b", s, 0.5 + 0.001 * s) for s in range(3)
    ]
    mixed = {"a": (0.9, 0.6, 0.7), "b": (0.7, 0.8, 0.65)}
    near = [result(method, s, mixed[method][s]) for method in mixed for s in range(3)]
    assert compare_pairs(far, ["a", "b"])[0].larger_than_noise is True
    assert [(pair.a, pair.b) for pair in compare_pairs(far, ["a", "b"])] == [
        ("a", "b"),
        ("a", "untrained"),
        ("b", "untrained"),
    ]
    assert compare_pairs(near, ["a", "b"])[0].larger_than_noise is False
    assert compare_pairs(far[:1] + far[3:4], ["a", "b"])[0].larger_than_noise is None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.91, 0.93, 0.90], [0.88, 0.80, 0.86]),
        ([0.91, 0.93, 0.92], [0.88, 0.80, 0.86, 0.85, 0.79]),
        ([0.9, 0.9, 0.9], [0.80, 0.85, 0.82]),  # equal seeds on one side
        ([0.3, 0.3, 0.1 + 0.2], [0.2, 0.3, 0.1]),  # and nearly equal ones
    ],
)
def test_the_interval_of_a_difference_is_welch_s(a, b):
    """Against the formula, with the degrees of freedom of Welch and Satterthwaite."""
    from scipy import stats

    of_a, of_b = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    half = stats.t.ppf(0.975, freedom) * (of_a + of_b) ** 0.5
    middle = statistics.mean(a) - statistics.mean(b)
    want = (middle - half, middle + half)
    assert welch_interval(a, b) == pytest.approx(want, rel=1e-12, abs=1e-12)


def test_an_interval_wants_three_seeds_that_vary():
    """Two that happen to differ alike said -3.2 to -3.2 points."""
    assert welch_interval([0.9, 0.8], [0.7, 0.8, 0.75]) is None
    assert welch_interval([0.9, 0.8, 0.85], [0.7, 0.8]) is None
    assert welch_interval([0.75, 0.75, 0.75], [0.5, 0.5, 0.5]) is None
    assert welch_interval([0.75, 0.75, 0.75], [0.75, 0.75, 0.75]) == (0, 0)


@pytest.mark.parametrize(
    ("difference", "sd", "another"),
    [(0.02, 0.01, 0.01), (0.02, 0.02, 0.02), (0.01, 0.02, 0.02), (0.031, 0.003, 0.016)],
)
def test_so_many_seeds_would_do_and_one_less_would_not(difference, sd, another):
    """Against Welch's interval of seeds with that spread."""
    wanted = seeds_needed(difference, sd, another)
    assert wanted is not None

    def seeds(n, middle, sd):
        turns = [(-1) ** at * (at < n - n % 2) for at in range(n)]
        scale = sd / statistics.stdev(turns)
        return [middle + scale * turn for turn in turns]

    for n, told in ((wanted, True), (wanted - 1, False)):
        if n >= 3:
            interval = welch_interval(seeds(n, difference, sd), seeds(n, 0.0, another))
            assert (interval[0] > 0) is told
    assert seeds_needed(0.001, 0.05, 0.05) is None


def compared(of: dict[str, tuple[float, ...]], ill: str = "", code: str = "undertrained"):
    """What is said of a minus b, and whether they are told apart."""
    place = {"name": "linear_probe.top1", "split": "test", "selection": "last"}
    like = {"title": "linear probe", "unit": "fraction", "better": "higher"}
    verdict = {"code": code, "severity": "watch", "since_epoch": 1, "text": "said"}
    results = [
        Results.model_validate(
            {
                "method": method,
                "seed": seed,
                "data": {"name": "digits"},
                "measurements": [{**place, **like, "value": value}],
                "shown": ["linear_probe.top1"],
                "judged_by": place,
                "verdicts": [verdict] if method == ill and seed == 1 else [],
            }
        )
        for method, values in of.items()
        for seed, value in enumerate(values)
    ]
    (found,) = compare_pairs(results, list(of))
    return found.text.partition("; ")[2] or found.text, found.larger_than_noise


def test_below_three_seeds_no_words_claim_a_difference_and_more_say_how_many_would_do():
    assert compared({"a": (0.9, 0.91), "b": (0.5, 0.51)}) == (
        "two seeds cannot tell it from noise, three may: --seeds 3",
        None,
    )
    assert compared({"a": (0.9,), "b": (0.5,)})[0].startswith("one seed cannot tell it from noise")
    alike = compared({"a": (0.9, 0.9, 0.9), "b": (0.8, 0.8, 0.8)})
    assert alike == ("the seeds of each are all alike, so their noise is not known", None)
    near = {"a": (0.90, 0.93, 0.92), "b": (0.91, 0.90, 0.90)}
    assert compared(near) == ("about 8 seeds would tell a difference of this size", False)
    hardly = {"a": (0.90, 0.93, 0.92), "b": (0.919, 0.928, 0.902)}
    assert compared(hardly) == (
        "more than 100 seeds would be needed to tell so small a difference",
        False,
    )


@pytest.mark.parametrize("code", ["undertrained", "at_chance", "collapsed"])
def test_a_comparison_with_a_method_that_has_not_learned_is_no_finding(code):
    far = {"a": (0.9, 0.91, 0.9), "b": (0.5, 0.51, 0.52)}
    assert compared(far)[1] is True
    text, larger = compared(far, "b", code)
    assert larger is None
    assert text.startswith("no finding, for b has ")
    assert compared(far, "b", "partial_collapse")[1] is True


def test_probe_replaces_measurements_of_the_same_name(tmp_path, nearfar_command):
    out = tmp_path / "run"
    assert (
        nearfar_command(
            "train", "digits", "--out", out, "--set", 'evaluate.probes=["knn"]', *QUICK
        ).code
        == 0
    )
    before = read(out / "results.json")["measurements"]
    assert nearfar_command("probe", out, "--kind", "knn", "--json").code == 0
    assert len(read(out / "results.json")["measurements"]) == len(before)
    ended = nearfar_command("probe", out, "--kind", "linear", "--json")
    names = {m["name"] for m in json.loads(ended.out)}
    assert "linear_probe.top1" in names
    assert (out / "classifier.safetensors").exists()
    ended = nearfar_command("probe", out, "--labels-per-class", "3", "--json")
    assert [m["name"] for m in json.loads(ended.out)] == ["few_label_probe.top1@3"]
    last = [m for m in read(out / "results.json")["measurements"] if m["selection"] == "last"]
    assert len({m["name"] for m in last}) == len(last)


def test_a_probe_on_other_data_joins_a_run_that_has_no_such_number_and_says_so(
    tmp_path, photographs, nearfar_command
):
    flat, out = tmp_path / "flat", tmp_path / "run"
    flat.mkdir()
    for number, path in enumerate(sorted(photographs.rglob("*.png"))):
        shutil.copy(path, flat / f"{number}.png")
    nearfar_command(
        "train", flat, "--method", "simclr", "--encoder", "conv4", "--out", out, "--epochs", "1"
    )
    for _ in range(2):
        ended = nearfar_command("probe", out, "--data", photographs, "--json")
        assert ended.code == 0, ended.err
        assert read(out / "results.json")["measurements"] == json.loads(ended.out)
    top1 = read(out / "results.json")["measurements"][0]
    assert (top1["name"], top1["data"]) == ("linear_probe.top1", str(photographs))
    assert top1["protocol"].endswith("; on photos")
    assert nearfar_command("report", out, "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "which is other data than the table’s" in page
    assert "of the test images right" not in page


def test_a_probe_on_other_data_takes_no_place_of_the_run_s_own(
    tiny_run, tmp_path, photographs, nearfar_command
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    before = read(run / "results.json")["measurements"]
    assert nearfar_command("probe", run, "--data", photographs).code == 0
    assert read(run / "results.json")["measurements"] == before
    assert nearfar_command("probe", run, "--data", photographs, "--labels-per-class", "3").code == 0
    assert read(run / "results.json")["measurements"][:-1] == before


def test_predict_names_path_class_and_the_likeliest(tiny_run, tmp_path, nearfar_command):
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    data = nearfar.data.load(nearfar.data.open_source("digits"), nearfar.data.CenterSquare(8))
    for row in range(3):
        Image.fromarray(np.asarray(data.images[row])).save(folder / f"{row}.png")
    ended = nearfar_command("predict", tiny_run, folder, folder / "0.png", "--json")
    predictions = json.loads(ended.out)["predictions"]
    assert [Path(p["path"]).name for p in predictions] == ["0.png", "1.png", "2.png", "0.png"]
    assert predictions[0] == predictions[3]
    assert predictions[0]["class"] == predictions[0]["top"][0][0]
    assert sum(p for _, p in predictions[0]["top"]) <= 1 + 1e-6
    assert json.loads(ended.out)["unreadable"] == []


def test_predict_leaves_out_what_cannot_be_read_and_names_it(
    tiny_run, photographs, tmp_path, nearfar_command
):
    shutil.copytree(photographs / "leaf", tmp_path / "look")
    for name in ("05_torn.png", "zz_text.png"):
        (tmp_path / "look" / name).write_text("no picture")
    ended = nearfar_command("predict", tiny_run, tmp_path / "look", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert [Path(p["path"]).name for p in found["predictions"]] == [
        f"{n:02d}.png" for n in range(20)
    ]
    assert [Path(bad["path"]).name for bad in found["unreadable"]] == ["05_torn.png", "zz_text.png"]
    assert all(bad["reason"] and "look" not in bad["reason"] for bad in found["unreadable"])
    assert "left out" in ended.err
    assert "zz_text.png" in ended.err
    ended = nearfar_command("predict", tiny_run, tmp_path / "look" / "zz_text.png")
    assert ended.code == 2
    assert "zz_text.png" in ended.err
    assert "Traceback" not in ended.err


def test_embed_writes_npz_and_csv_of_every_image(tiny_run, tmp_path, photographs, nearfar_command):
    ended = nearfar_command("embed", tiny_run, photographs, "--out", tmp_path / "e.npz", "--json")
    written = {"out": str(tmp_path / "e.npz"), "rows": 60, "width": 64, "unreadable": []}
    assert json.loads(ended.out) == written
    with np.load(tmp_path / "e.npz") as file:
        assert set(file) == {"embeddings", "labels", "split", "paths", "class_names"}
        x = file["embeddings"]
    assert nearfar_command("embed", tiny_run, photographs, "--out", tmp_path / "e.csv").code == 0
    rows = list(csv.DictReader((tmp_path / "e.csv").read_text().splitlines()))
    assert len(rows) == 60
    assert float(rows[7]["e3"]) == pytest.approx(float(x[7, 3]), rel=1e-5)
    ended = nearfar_command("embed", tiny_run, photographs, "--out", tmp_path / "e.xlsx")
    assert ended.code == 2
    assert ".parquet" in ended.err


def test_embed_writes_parquet_or_says_which_extra_is_missing(
    tiny_run, tmp_path, photographs, nearfar_command, monkeypatch
):
    out = tmp_path / "e.parquet"
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyarrow", None)  # as where it is not installed
        ended = nearfar_command("embed", tiny_run, photographs, "--out", out)
    assert ended.code == 2
    assert "pip install 'nearfar[parquet]'" in ended.err
    parquet = pytest.importorskip("pyarrow.parquet")
    assert nearfar_command("embed", tiny_run, photographs, "--out", out).code == 0
    assert nearfar_command("embed", tiny_run, photographs, "--out", tmp_path / "e.npz").code == 0
    table = parquet.read_table(out)
    assert {
        name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)
    } == {
        "id": "int64",
        "path": "string",
        "label": "string",
        "split": "string",
        "prediction": "string",
        "probability": "float",
        "vector": "list<element: float>",
        "projection_x": "float",
        "projection_y": "float",
        "neighbors": "struct<ids: list<element: int64>, distances: list<element: float>>",
    }
    assert table["id"].to_pylist() == list(range(60))
    with np.load(tmp_path / "e.npz") as file:
        x, labels = file["embeddings"], file["class_names"][file["labels"]]
        assert table["path"].to_pylist() == file["paths"].tolist()
    assert table["label"].to_pylist() == labels.tolist()
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), x)
    predicted = nearfar.load(tiny_run).classify(x)
    names = [predicted.class_names[number] for number in predicted.classes]
    assert table["prediction"].to_pylist() == names
    assert table["probability"].to_pylist() == pytest.approx(predicted.probabilities.max(axis=1))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = unit @ unit.T - 2 * np.eye(60)
    for row, near in enumerate(table["neighbors"].to_pylist()):
        assert len(near["ids"]) == 10 and row not in near["ids"]
        assert near["distances"] == sorted(near["distances"])
        assert near["distances"] == pytest.approx(1 - np.sort(similarity[row])[:-11:-1], abs=1e-5)
        assert near["distances"] == pytest.approx(1 - similarity[row][near["ids"]], abs=1e-5)
    placed = np.array([table["projection_x"].to_pylist(), table["projection_y"].to_pylist()])
    assert np.isfinite(placed).all() and placed.std() > 0


def test_report_writes_the_page_again(tiny_run, tmp_path, nearfar_command):
    ended = nearfar_command("report", tiny_run, "--out", tmp_path / "page.html", "--json")
    assert json.loads(ended.out) == {"report": str(tmp_path / "page.html")}
    assert (tmp_path / "page.html").stat().st_size > 10_000


@pytest.mark.parametrize("command", ["embed", "report"])
def test_a_file_that_exists_is_kept_unless_forced(tiny_run, tmp_path, nearfar_command, command):
    out = tmp_path / ("e.csv" if command == "embed" else "page.html")
    out.write_text("mine")
    arguments = (command, tiny_run, *(["digits"] if command == "embed" else []), "--out", out)
    ended = nearfar_command(*arguments)
    assert ended.code == 2
    assert f"--out: {out} exists; replace it by --force" in ended.err
    assert out.read_text() == "mine"
    assert nearfar_command(*arguments, "--force").code == 0
    assert out.read_text() != "mine"


def test_the_page_inside_its_own_run_is_written_again_without_force(comparison, nearfar_command):
    (comparison / "report.html").write_text("old")
    assert nearfar_command("report", comparison).code == 0
    assert (comparison / "report.html").read_text() != "old"


def test_check_says_which_methods_fit(photographs, nearfar_command):
    ended = nearfar_command("check", photographs, "--json")
    assert ended.code == 0
    findings = json.loads(ended.out)["findings"]
    assert {"code", "severity", "text"} == set(findings[0])
    fitting = ", ".join(name for name in METHODS if name not in CUT_UP)
    assert fitting in next(f["text"] for f in findings if f["code"] == "methods_fit")
    unfit = [f["text"] for f in findings if f["code"] == "method_fits_not"]
    assert {text.partition(" needs images of at least 32 px")[0] for text in unfit} == CUT_UP
    assert nearfar_command("check", "digits", "--strict").code == 0


def test_check_strict_fails_where_something_was_found(tmp_path, photographs, nearfar_command):
    spoiled = tmp_path / "spoiled"
    shutil.copytree(photographs, spoiled)
    (spoiled / "leaf" / "torn.png").write_bytes((spoiled / "leaf" / "00.png").read_bytes()[:60])
    ended = nearfar_command("check", spoiled, "--strict")
    assert ended.code == 2
    assert "torn.png" in ended.out


def test_methods_and_encoders_are_listed_from_the_code(nearfar_command):
    methods = json.loads(nearfar_command("methods", "--json").out)
    assert [m["name"] for m in methods] == [*METHODS, "frozen"]
    assert {"needs_labels", "views", "summary", "paper"} <= set(methods[0])
    names = [
        row["name"]
        for row in json.loads(nearfar_command("encoders", "--search", "resnet18", "--json").out)
    ]
    assert "resnet18" in names
    assert "conv4" not in names
