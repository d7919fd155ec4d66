"""Contact sheets where a person meets them: `nearfar check DATA --views POLICY`, and in every
run.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.api import view_sheet as sheets
from nearfar.core.progress import Progress
from nearfar.data.center import CenterSquare
from nearfar.data.sources import open_source
from nearfar.data.store import load
from nearfar.experiment.sheets import few_rows
from nearfar.views.policies import POLICIES


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_check_draws_a_sheet_and_says_where(here, photographs, nearfar_command):
    ended = nearfar_command("check", photographs, "--views", "simclr")
    assert ended.code == 0, ended.err
    assert ended.out.endswith("\nviews: views-simclr.png\n")
    assert "methods that fit" in ended.out
    with Image.open(here / "views-simclr.png") as picture:
        assert picture.format == "PNG"
        assert picture.size[0] == 24 + 9 * 68 - 4 + 14
        assert picture.size[1] > 8 * 68
    assert sorted(path.name for path in here.iterdir()) == ["views-simclr.png"]


def test_json_names_the_sheet_and_a_file_that_is_there_stays(here, nearfar_command):
    (here / "views-digits.png").write_text("mine")
    for name in ("views-digits-2.png", "views-digits-3.png"):
        ended = nearfar_command("check", "digits", "--views", "digits", "--json")
        content = json.loads(ended.out)
        assert set(content) == {"findings", "views"}
        assert content["views"] == name
    assert (here / "views-digits.png").read_text() == "mine"
    assert (here / "views-digits-2.png").read_bytes() == (here / "views-digits-3.png").read_bytes()
    assert set(json.loads(nearfar_command("check", "digits", "--json").out)) == {"findings"}


def test_a_policy_with_numbers_or_from_a_file(here, nearfar_command):
    ended = nearfar_command("check", "digits", "--views", "rand_augment(1, 5.5)", "--json")
    assert json.loads(ended.out)["views"] == "views-rand_augment-1-5.5.png"
    (here / "mine.toml").write_text(
        '[views]\npolicy = {operations = [{op = "invert"}]}\n[train]\nepochs = 3\n'
    )
    (here / "named.toml").write_text('[views]\npolicy = "swav"\nstrength = 0.5\n')
    ended = nearfar_command("check", "digits", "--views", "mine.toml", "--json")
    assert json.loads(ended.out)["views"] == "views-mine.png"
    chosen = sheets.choose_policy("named.toml")
    assert chosen.name == "swav"
    assert chosen.policy.kinds[0].operations[2].brightness == 0.4


@pytest.mark.parametrize(
    ("asked", "content", "message"),
    [
        ("simcl", None, '--views: no policy "simcl" (did you mean "simclr"?)'),
        ("nowhere.toml", None, "nowhere.toml: cannot be read"),
        ("own.toml", "[views]\nstrength = 1.0\n", "views.policy: is missing"),
        ("own.toml", "[views\n", "is not TOML"),
        (
            "own.toml",
            '[views]\npolicy = "byol"\nstrenght = 1.0\n',
            'strenght: unknown key (did you mean "strength"?)',
        ),
        (
            "own.toml",
            '[views]\npolicy = {operations = [{op = "flop"}]}\n',
            '"flop" (did you mean "flip"?)',
        ),
    ],
)
def test_a_policy_that_is_none_is_refused_before_data_are_read(
    here, nearfar_command, asked, content, message
):
    if content is not None:
        (here / asked).write_text(content)
    ended = nearfar_command("check", "no such data", "--views", asked)
    assert ended.code == 2
    assert message in ended.err
    assert not list(here.glob("*.png"))


@pytest.mark.usefixtures("here")
def test_findings_are_shown_where_the_data_allow_no_sheet(photographs, tmp_path, nearfar_command):
    spoiled = tmp_path / "spoiled"
    (spoiled / "leaf").mkdir(parents=True)
    cut = (photographs / "leaf" / "00.png").read_bytes()[:60]
    for name in ("torn.png", "cut.png"):
        (spoiled / "leaf" / name).write_bytes(cut)
    for name in ("01", "02"):
        (spoiled / "leaf" / f"{name}.png").write_bytes(
            (photographs / "leaf" / f"{name}.png").read_bytes()
        )
    ended = nearfar_command("check", spoiled, "--views", "simclr", "--json")
    assert ended.code == 2
    content = json.loads(ended.out)
    assert content["views"] is None
    assert any("torn.png" in finding["text"] for finding in content["findings"])
    assert "at most 1 % of the images unreadable" in ended.err


@pytest.mark.usefixtures("here")
def test_a_folder_that_cannot_be_written_is_said(monkeypatch):
    def refuse(*_args, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sheets.Path, "open", refuse)
    with pytest.raises(
        sheets.UserError, match=r"views-x\.png cannot be written \(Permission denied\)"
    ):
        sheets.save_under_a_free_name(Image.new("RGB", (9, 9)), "views-x")


def test_the_images_are_spread_over_the_classes():
    data = load(open_source("digits"), CenterSquare(8))
    rows = few_rows(data, data.split("train"))
    assert len(set(rows.tolist())) == 8
    assert data.labels[rows].tolist() == [0, 1, 3, 4, 5, 6, 8, 9]
    assert set(rows.tolist()) <= set(data.split("train").tolist())
    two = data.split("train")[data.labels[data.split("train")] < 2]
    uneven = torch.cat([two[data.labels[two] == 0], two[data.labels[two] == 1][:1]])
    assert sorted(data.labels[few_rows(data, uneven)].tolist()) == [0, 0, 0, 0, 1]
    assert len(few_rows(data, two[:1])) == 1


def test_a_run_keeps_a_sheet_and_its_report_shows_it(tiny_run):
    with Image.open(tiny_run / "views.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture)
    # two epochs of two views beside the evaluation view
    assert pixels.shape[1] == max(420, 24 + 5 * 68 - 4 + 14)
    html = (tiny_run / "report.html").read_text(encoding="utf-8")
    assert html.count('<img class="views"') == 1
    assert "Policy digits, 8 px; views of each image a step: 2." in html
    views = json.loads((tiny_run / "results.json").read_text())["views"]
    assert views == {"policy": "digits", "count": 2, "shown": "2"}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", ["train", "check"])
def test_every_command_that_makes_views_has_their_kernels_ready_first(
    nearfar_command, monkeypatch, command
):
    class Reached(KeyboardInterrupt):
        pass

    def reach(progress, *_device):
        assert isinstance(progress, Progress)
        raise Reached

    for module in ("experiment.running", "api.view_sheet"):
        monkeypatch.setattr(f"nearfar.{module}.compile_kernels", reach)
    rest = {
        "train": ("digits", "--smoke"),
        "check": ("digits", "--views", "basic"),
    }[command]
    assert nearfar_command(command, *rest).code == 130


def test_methods_lists_the_policies_last_and_not_among_the_methods(nearfar_command):
    out = nearfar_command("methods").out
    listed = out.partition("View policies")[2]
    assert listed.count("\n    ") == len(POLICIES) == 21
    assert "simclr: crop 0.08-1, flip, jitter 0.8 0.8 0.8 0.2 at 0.8, gray at 0.2" in listed
    only = nearfar_command("methods", "--search", "rand_aug").out
    assert "stacked_rand_augment: " in only
    assert "supcon" not in only
    assert all("views" in row for row in json.loads(nearfar_command("methods", "--json").out))


def test_help_of_train_says_how_a_policy_is_chosen(nearfar_command):
    text = " ".join(nearfar_command("train", "--help").out.split())
    assert "--set views.policy=NAME" in text
    assert "nearfar check DATA --views" in text
