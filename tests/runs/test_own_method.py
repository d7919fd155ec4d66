"""docs/your-own-method.md as a user follows it: a file beside, trained by its name, and never
needed again.
"""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import nearfar
from nearfar.core.errors import UserError
from nearfar.methods import name_of

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-method.md").read_text(encoding="utf-8")
METHOD = re.search(r"Save this as `(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, flags=re.S)
COMMANDS = re.search(r"```sh\n(nearfar train.*?)```", PAGE, flags=re.S)

WRONG = """
import nearfar
from align import Align

class NoStepConfig(nearfar.MethodConfig):
    pass

class NoStep(nearfar.Method):
    Config = NoStepConfig
    needs_labels, default_views, optimizer, paper = False, "basic", Align.optimizer, "none"

class Plain(NoStep):
    Config, step = object, Align.step

class Made(NoStep):
    Config, step = NoStepConfig(), Align.step

class Rate(NoStep):
    optimizer, step = 0.1, Align.step
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the page's file, as the current one; what is imported from it is forgotten
    afterwards.
    """
    assert METHOD is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / METHOD[1]).write_text(METHOD[2], encoding="utf-8")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in {"align", "broken", "odd", "wrong"}:
            del sys.modules[name]


def test_every_name_of_the_page_is_found():
    names = re.findall(r"`(nearfar(?:\.\w+)+)`", PAGE)
    assert len(names) >= 7
    for name in names:
        found, *parts = name.split(".")
        here = import_module(found)
        for at, part in enumerate(parts, start=2):
            if not hasattr(here, part):
                import_module(".".join(name.split(".")[:at]))
            here = getattr(here, part)
    assert {"nearfar.nn.target.TargetNetwork", "nearfar.nn.queue.Queue"} <= set(names)


def test_every_command_of_the_page_runs(here, nearfar_command):
    assert COMMANDS is not None
    lines = COMMANDS[1].strip().splitlines()
    assert len(lines) == 2
    for line in lines:
        command, *arguments = shlex.split(line)
        assert command == "nearfar"
        ended = nearfar_command(*arguments, "--smoke")
        assert ended.code == 0, ended.err
    assert (here / "runs/digits-align-Align-1/report.html").exists()
    assert (here / "runs/digits-compare-1/align-Align/seed2/results.json").exists()
    assert "align:Align" in (here / "runs/digits-compare-1/report.html").read_text(encoding="utf-8")


IN_TURN = """
import json, sys
from nearfar.cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["nearfar", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            print(arguments, file=sys.stderr)
            raise
"""


def in_a_process(*commands: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The commands one after another in one fresh process, up to the first that fails."""
    command = [sys.executable, "-c", IN_TURN, json.dumps(commands)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_opens_a_run_never_imports_the_method(here, nearfar_command, photographs):
    smoke = ("--out", "run", "--smoke", "--batch-size", "8")
    ended = nearfar_command("train", photographs, "--method", "align:Align", *smoke)
    assert ended.code == 0, ended.err
    assert (
        tomllib.loads((here / "run/run.toml").read_text(encoding="utf-8"))["method"]["name"]
        == "align:Align"
    )
    (here / "align.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    picture = next(photographs.rglob("*.png"))
    ended = in_a_process(
        ("check", "run"),
        ("probe", "run"),
        ("report", "run"),
        ("predict", "run", str(picture)),
        ("embed", "run", str(photographs), "--out", "all.npz"),
    )
    assert ended.returncode == 0, ended.stderr
    assert (here / "all.npz").exists()


def test_it_learns_and_resumes_by_its_class(here):
    sys.path.insert(0, str(here))
    from align import Align

    settings = {"train.batch_size": 128, "method.weight": 0.5}
    run = nearfar.train("digits", method=Align, epochs=2, out="run", quiet=True, **settings)
    rows = [
        line
        for line in (here / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
        if '"loss"' in line
    ]
    first, last = (float(re.search(r'"loss": ([-\d.e]+)', row)[1]) for row in (rows[0], rows[-1]))
    assert last < first - 0.1
    again = nearfar.train(
        "digits", method=Align, epochs=2, out="run", quiet=True, resume=True, **settings
    )
    # read from the folder: nothing was trained again
    assert json.dumps(again.results) == json.dumps(run.results)
    table = nearfar.compare(
        "digits", methods=["margin", Align], seeds=1, epochs=1, out="both", quiet=True
    )
    assert {row["method"] for row in table.results["table"]} == {
        "untrained",
        "margin",
        "align:Align",
    }


@pytest.mark.usefixtures("here")
def test_a_class_that_cannot_be_found_again_is_refused():
    class Local(nearfar.Method):
        pass

    with pytest.raises(UserError, match="define it at the top of a module"):
        nearfar.train("digits", method=Local)
    for nothing in (None, 5, object()):
        with pytest.raises(UserError, match=r"want a name, or a subclass of nearfar\.Method, got"):
            name_of(nothing)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere:Method", "No module named 'nowhere'"),
        ("align:Alin", "has no attribute 'Alin'"),
        ("align:AlignConfig", "is not a subclass of nearfar.Method"),
        ("broken:Method", "ZeroDivisionError"),
        ("odd:Odd", "has no needs_labels, default_views, optimizer, paper"),
        ("script:Script", "SystemExit: bye"),
        ("wrong:NoStep", "has no step(batch)"),
        (
            "wrong:Plain",
            "Plain.Config: want a subclass of nearfar.MethodConfig, got <class 'object'>",
        ),
        ("wrong:Made", "Made.Config: want a subclass of nearfar.MethodConfig, got NoStepConfig()"),
        ("wrong:Rate", "Rate.optimizer: want OptimizerDefaults(...), got 0.1"),
    ],
)
@pytest.mark.parametrize("command", [("train", "--method"), ("compare", "--methods")])
def test_a_name_that_leads_nowhere_is_refused_in_words(
    here, nearfar_command, name, problem, command
):
    (here / "broken.py").write_text("1 / 0", encoding="utf-8")
    (here / "odd.py").write_text(
        "import nearfar\nclass Odd(nearfar.Method):\n    Config = nearfar.MethodConfig\n"
    )
    (here / "script.py").write_text("raise SystemExit('bye')", encoding="utf-8")
    (here / "wrong.py").write_text(WRONG, encoding="utf-8")
    verb, flag = command
    ended = nearfar_command(verb, "digits", flag, name, "--out", "run")
    assert ended.code == 2, ended.err
    assert problem in ended.err
    assert "Traceback" not in ended.err
    assert not (here / "run").exists()


def test_a_misspelt_optimizer_is_refused_by_name(here):
    page = (here / "align.py").read_text(encoding="utf-8")
    (here / "align.py").write_text(page.replace('"sgd"', '"sgdd"'), encoding="utf-8")
    ended = in_a_process(
        ("train", "digits", "--method", "align:Align")
    )  # no hook checks types there
    assert ended.returncode == 2
    assert "optimizer: want one of sgd, adamw, adam, lars, rmsprop, got 'sgdd'" in ended.stderr


@pytest.mark.usefixtures("here")
def test_a_comparison_names_all_that_is_wrong_with_its_methods(nearfar_command):
    ended = nearfar_command(
        "compare", "digits", "--methods", "nowhere:Method,zzz,align:Alin", "--seeds", "0"
    )
    assert ended.code == 2
    for problem in (
        "No module named 'nowhere'",
        'no method "zzz"',
        "or MODULE:CLASS of yours",
        "'Alin'",
        "--seeds",
    ):
        assert problem in ended.err, problem


@pytest.mark.usefixtures("here")
def test_the_doctor_knows_whether_it_learns_from_labels(nearfar_command):
    assert (
        nearfar_command(
            "train", "digits", "--method", "align:Align", "--smoke", "--out", "run"
        ).code
        == 0
    )
    with pytest.MonkeyPatch.context() as patched:
        seen = []
        patched.setattr(
            "nearfar.api.check_run.judge", lambda _rows, facts: seen.append(facts) or []
        )
        nearfar_command("check", "run")
    assert not seen[0].labeled


def test_a_recipe_or_a_setting_may_name_it(here, nearfar_command):
    (here / "recipe.toml").write_text(
        '[method]\nname = "align:Align"\nweight = 0.25\n', encoding="utf-8"
    )
    for out, arguments in {
        "a": ("--recipe", "recipe.toml"),
        "b": ("--set", "method.name=align:Align"),
    }.items():
        ended = nearfar_command("train", "digits", *arguments, "--out", out, "--smoke")
        assert ended.code == 0, ended.err
        settings = tomllib.loads((here / out / "run.toml").read_text(encoding="utf-8"))["method"]
        assert settings["name"] == "align:Align"
    ended = nearfar_command(
        "train", "digits", "--recipe", "recipe.toml", "--method", "supcon", "--smoke"
    )
    assert "method.weight: unknown key" in ended.err  # the flag goes over the file


@pytest.mark.parametrize(
    ("returned", "code", "problem"),
    [
        ("loss", 2, "Align: step returned Tensor; want StepResult(loss, h, z)"),
        ("StepResult(loss.item(), h, z)", 2, "a loss of float; want a tensor of one number"),
        ("StepResult(z.mean(dim=(0, 2)), h, z)", 2, "a loss of (8,); want a tensor of one number"),
        (
            "StepResult(loss, h[0], z)",
            2,
            "a representation h of shape (8, 64); want (views, 8 samples, width)",
        ),
        (
            "StepResult(loss, h, z.flatten(0, 1))",
            2,
            "a projection z of shape (16, 128); want (views, 8 samples",
        ),
        (
            "StepResult(loss, h, self.projectr(h))",
            1,
            "align:Align is your own: look there first, by the lines above",
        ),
    ],
)
def test_what_goes_wrong_in_its_step_is_said_to_be_its_own(
    here, nearfar_command, photographs, returned, code, problem
):
    own = here / "align.py"
    text = own.read_text(encoding="utf-8")
    written = re.sub(r"return StepResult\(loss, h, z, .*", f"return {returned}", text)
    assert written != text
    own.write_text(written, encoding="utf-8")
    for verb, flag in (("train", "--method"), ("compare", "--methods")):
        ended = nearfar_command(
            verb, photographs, flag, "align:Align", "--out", verb, "--smoke", "--batch-size", "8"
        )
        assert ended.code == code, ended.err
        assert ended.err.splitlines()[-1].startswith("nearfar: ")
        assert problem in ended.err.splitlines()[-1]
        assert ("Traceback" in ended.err) == ('align.py", line' in ended.err) == (code == 1)
        assert "our fault" not in ended.err


def test_an_error_without_a_method_of_one_s_own_stays_ours(
    nearfar_command, photographs, monkeypatch, tmp_path
):
    monkeypatch.setattr("nearfar.methods.simclr.SimCLR.step", lambda *_: 1 / 0)
    ended = nearfar_command(
        "train", photographs, "--method", "simclr", "--out", tmp_path / "run", "--smoke"
    )
    assert ended.code == 1
    assert "this is our fault, please report it" in ended.err


@pytest.mark.usefixtures("here")
def test_its_settings_are_checked_like_any_other(nearfar_command):
    ended = nearfar_command(
        "train", "digits", "--method", "align:Align", "--set", "method.weigth=1"
    )
    assert ended.code == 2
    assert 'method.weigth: unknown key (did you mean "weight"?)' in ended.err
