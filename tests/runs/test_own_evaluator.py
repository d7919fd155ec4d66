"""docs/your-own-evaluation.md as a user follows it: a file beside, measured by its name, and never
needed again.
"""

import json
import re
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2].joinpath("docs", "your-own-evaluation.md").read_text("utf-8")
EVALUATOR = re.search(r"Save this as `(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, flags=re.S)
COMMANDS = re.search(r"```sh\n(nearfar train.*?)```", PAGE, flags=re.S)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the page's file, as the current one; what is imported from it is forgotten
    afterwards.
    """
    assert EVALUATOR is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / EVALUATOR[1]).write_text(EVALUATOR[2], encoding="utf-8")
    yield tmp_path
    sys.modules.pop("surprise", None)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_name_of_the_page_is_found():
    names = re.findall(r"`(nearfar(?:\.\w+)+)`", PAGE)
    assert len(names) >= 7
    for name in names:
        module, _, last = name.rpartition(".")
        if name != "nearfar.load":
            found = import_module(module)
            assert hasattr(found, last) or import_module(name)


def test_the_page_s_commands_run_and_what_opens_a_run_needs_no_module(here, nearfar_command):
    assert COMMANDS is not None
    train, probe, compare = COMMANDS[1].strip().splitlines()
    ended = nearfar_command(*shlex.split(train)[1:], "--smoke", "--json")
    assert ended.code == 0, ended.err
    results = json.loads(ended.out)
    mine = [m for m in results["measurements"] if m["name"] == "surprise.mean"]
    assert {(m["unit"], m["better"], m["title"]) for m in mine} == {("nats", "lower", "surprise")}
    assert results["shown"] == ["knn.top1", "surprise.mean"]
    assert results["judged_by"]["name"] == "knn.top1"
    assert 'probes = [\n    "knn",\n    "surprise:Surprise",\n]' in (
        here / "runs/mine/run.toml"
    ).read_text("utf-8")

    ended = nearfar_command(*shlex.split(probe)[1:])
    assert ended.code == 0, ended.err
    assert f"{mine[0]['value']:.3f} nats" in ended.out
    assert len(read(here / "runs/mine/results.json")["measurements"]) == len(
        results["measurements"]
    )

    ended = nearfar_command(*shlex.split(compare)[1:], "--smoke", "--seeds", "2")
    assert ended.code == 0, ended.err
    heading = ended.out.splitlines()[0]
    assert "surprise, nats, selected epoch" in heading
    assert "%" not in heading
    assert re.search(r"supcon minus simclr: [+-]\d\.\d{3} nats; ", ended.out)
    page = (here / "runs/digits-compare-1/report.html").read_text("utf-8")
    # runs of two steps have hardly learned, and are not compared; what is theirs is in nats
    assert re.search(r"<h1>.*hardly learned", page)
    assert re.search(r"[+-]\d\.\d{3} nats", page)

    sys.modules.pop("surprise")
    (here / "surprise.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    for command in (
        ("report", "runs/mine", "--force"),
        ("check", "runs/mine"),
        ("probe", "runs/mine"),
    ):
        assert nearfar_command(*command).code == 0, command
    assert "surprise" not in sys.modules


def test_a_name_that_no_evaluator_has_is_refused_with_the_nearest(tiny_run, nearfar_command):
    ended = nearfar_command("train", "digits", "--smoke", "--set", 'evaluate.probes=["retrieve"]')
    assert ended.code == 2
    assert 'evaluate.probes: no evaluator "retrieve" (did you mean "retrieval"?)' in ended.err
    ended = nearfar_command("probe", tiny_run, "--kind", "lineer")
    assert ended.code == 2
    assert '--kind: no evaluator "lineer" (did you mean "linear"?)' in ended.err
    ended = nearfar_command("probe", tiny_run, "--kind", "knn", "--labels-per-class", "3")
    assert ended.code == 2
    assert "--labels-per-class" in ended.err


def test_a_module_that_is_not_there_is_named(tiny_run, nearfar_command):
    probes = 'evaluate.probes=["nowhere_at_all:Mine"]'
    ended = nearfar_command("train", "digits", "--smoke", "--set", probes)
    assert ended.code == 2
    assert "evaluate.probes: nowhere_at_all:Mine: ModuleNotFoundError" in ended.err
    ended = nearfar_command("probe", tiny_run, "--kind", "nowhere_at_all:Mine")
    assert ended.code == 2
    assert "--kind: nowhere_at_all:Mine: ModuleNotFoundError" in ended.err


def test_what_probe_is_asked_for_is_shown_from_then_on(tiny_run, tmp_path, nearfar_command):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    before = read(run / "results.json")
    ended = nearfar_command("probe", run, "--kind", "retrieval", "--json")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)
    assert found["name"] == "retrieval.recall@1"
    assert 0 <= found["interval"][0] <= found["value"] <= found["interval"][1] <= 1
    assert found in before["measurements"]  # it is measured by default, to the same number
    ended = nearfar_command("probe", run, "--labels-per-class", "3")
    assert ended.code == 0, ended.err
    assert "3 labels a class" in ended.out
    assert read(run / "results.json")["shown"] == [*before["shown"], "few_label_probe.top1@3"]
    assert nearfar_command("report", run, "--force").code == 0
    assert "3 labels a class" in (run / "report.html").read_text("utf-8")


def test_what_needs_what_training_alone_has_is_refused_on_a_run(
    tiny_run, tmp_path, monkeypatch, nearfar_command
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert EVALUATOR is not None
    text = EVALUATOR[2].replace('{"labels", "features"}', '{"labels", "features", "head"}')
    (tmp_path / "needing.py").write_text(text, encoding="utf-8")
    ended = nearfar_command("probe", tiny_run, "--kind", "needing:Surprise")
    sys.modules.pop("needing", None)
    assert ended.code == 2, ended.err
    assert "--kind: surprise needs head, which a run's folder does not hold" in ended.err
