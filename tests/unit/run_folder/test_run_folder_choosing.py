"""Which folder is chosen, and which may be used."""

import errno
from pathlib import Path

import pytest

from nearfar.core.errors import RunError
from nearfar.run_folder import choosing, names


def run(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / names.RUN_TOML).write_text("")
    return path


def test_the_free_folder_is_the_first_that_is_not_there_and_the_latest_the_one_before(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert choosing.free_folder("digits", "mine:Method") == Path("runs", "digits-mine-Method-1")
    with pytest.raises(RunError, match=r"got none under runs/digits-supcon-\*; name it by --out"):
        choosing.latest_folder("digits", "supcon")
    for k in (1, 2):
        Path("runs", f"digits-supcon-{k}").mkdir(parents=True)
    assert choosing.free_folder("digits", "supcon") == Path("runs", "digits-supcon-3")
    assert choosing.latest_folder("digits", "supcon") == Path("runs", "digits-supcon-2")


def test_a_run_is_told_from_a_comparison_s_folder(tmp_path):
    one = run(tmp_path / "comparison" / "supcon" / "seed0")
    assert choosing.is_run(one)
    assert not choosing.is_run(tmp_path)
    assert choosing.runs_inside(tmp_path / "comparison") == [one]
    assert choosing.runs_inside(tmp_path / "comparison", names.RESULTS) == []
    with pytest.raises(RunError, match=f"give one of its runs, such as {one}"):
        choosing.is_run(tmp_path / "comparison")
    with pytest.raises(RunError, match=f"is part of a run; give the run's folder, {one}$"):
        choosing.is_run(one / names.RUN_TOML)
    (one / "encoder").mkdir()
    (one / names.ENCODER).touch()
    for part in (names.ENCODER, names.ENCODER.parent):
        with pytest.raises(RunError, match=f"is part of a run; give the run's folder, {one}$"):
            choosing.is_run(one / part)


def check(folder: Path, *, comparison: bool = False, **how: bool) -> None:
    choosing.check_free(
        folder, resume=how.get("resume", False), force=how.get("force", False),
        comparison=comparison,
    )  # fmt: skip


def test_a_folder_is_used_only_as_what_it_is(tmp_path):
    one, empty, other = run(tmp_path / "run"), tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    other.mkdir()
    (other / "thesis.txt").write_text("")
    check(tmp_path / "new")
    check(one, resume=True)
    check(one, force=True)
    check(empty, force=True)
    for folder, how, message in (
        (one, {}, "exists; continue it by --resume"),
        (one, {"comparison": True, "resume": True}, "holds one run"),
        (tmp_path / "new", {"resume": True}, "new does not exist, so there is nothing to continue"),
        (empty, {"resume": True}, "empty is empty, so there is nothing to continue"),
        (empty, {}, "exists, and is empty"),
        (other, {"force": True}, "is no run folder"),
        (other / "thesis.txt", {}, "want a folder, got the file"),
    ):
        with pytest.raises(RunError, match=message):
            check(folder, **how)
    several = tmp_path / "comparison"
    run(several / "supcon" / "seed0")
    check(several, comparison=True, resume=True)
    with pytest.raises(RunError, match="holds a comparison"):
        check(several, resume=True)


def test_a_place_that_allows_no_writing_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("nearfar.run_folder.choosing.os.access", lambda *_: False)
    with pytest.raises(RunError, match=r"cannot be written \(.* does not allow it\)"):
        check(tmp_path / "a" / "b")


def test_a_full_disk_is_told_from_other_errors():
    assert choosing.is_full(OSError(errno.ENOSPC, "full"))
    assert not choosing.is_full(OSError(errno.ENOENT, "gone"))
