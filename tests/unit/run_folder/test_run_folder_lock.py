"""One process at a time in a run folder."""

import signal
import subprocess
import sys

import pytest

from nearfar.core.errors import RunError
from nearfar.run_folder.choosing import check_free
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.lock import in_use, refuse_in_use
from nearfar.run_folder.names import LOCK, RUN_TOML

HOLDS = """
import sys, time
from pathlib import Path
from nearfar.run_folder.lock import in_use
with in_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """A process that works in tmp_path/run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path, other):
    folder = tmp_path / "run"
    message = rf"{folder} is in use: another nearfar \(process {other.pid}\) works in it"
    with pytest.raises(RunError, match=message), in_use(folder):
        pass
    for how in ({"resume": True, "force": False}, {"resume": False, "force": True}):
        with pytest.raises(RunError, match="is in use"):
            check_free(folder, **how, comparison=False)
    other.send_signal(signal.SIGKILL)  # no code of its own runs any more
    other.wait()
    assert (folder / LOCK).exists()
    check_free(folder, resume=False, force=False, comparison=False)
    with in_use(folder), pytest.raises(RunError):
        refuse_in_use(folder)
    assert not (folder / LOCK).exists()
    refuse_in_use(folder)


def test_what_was_made_for_the_lock_alone_goes_and_what_else_is_there_stays(tmp_path):
    with pytest.raises(KeyError), in_use(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK).exists()
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with in_use(tmp_path / "mine" / "run"):
        (tmp_path / "mine" / "run" / RUN_TOML).touch()
    with in_use(tmp_path / "mine" / "run"):
        pass
    assert [path.name for path in (tmp_path / "mine" / "run").iterdir()] == [RUN_TOML]


def test_clearing_the_folder_keeps_the_lock(tmp_path):
    folder = tmp_path / "run"
    with in_use(folder):
        (folder / RUN_TOML).touch()
        (folder / "checkpoint").mkdir()
        RunFolder(folder).clear()
        assert [path.name for path in folder.iterdir()] == [LOCK]
        with pytest.raises(RunError):
            refuse_in_use(folder)
