"""The wait for the compiler is announced, and only where there is one."""

import os
import subprocess
import sys
import time

import pytest

from nearfar.core.progress import Progress
from nearfar.views import compiling

CODE = (
    "from nearfar.core.progress import Progress; from nearfar.views.compiling import"
    " compile_kernels; "
)


@pytest.mark.ci
def test_the_first_views_on_a_machine_are_announced_and_later_ones_are_not(tmp_path):
    told = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", f"{CODE}compile_kernels(Progress())"],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(done.stderr)
    assert told == [f"{compiling.COMPILING}\n", ""]
    assert list(tmp_path.rglob("*.nbi"))


@pytest.mark.parametrize(("seconds", "told"), [(0.3, f"{compiling.COMPILING}\n"), (0.0, "")])
def test_only_a_long_wait_is_announced(monkeypatch, capsys, seconds, told):
    monkeypatch.setattr(compiling, "_SILENT_SECONDS", 0.1)
    monkeypatch.setattr(compiling, "_make_one", lambda _: time.sleep(seconds))
    compiling.compile_kernels(Progress())
    time.sleep(0.2)
    assert capsys.readouterr().err == told


def test_a_failure_to_compile_silences_the_announcement(monkeypatch, capsys):
    def fail(_):
        raise RuntimeError("no")

    monkeypatch.setattr(compiling, "_SILENT_SECONDS", 0.1)
    monkeypatch.setattr(compiling, "_make_one", fail)
    with pytest.raises(RuntimeError):
        compiling.compile_kernels(Progress())
    time.sleep(0.2)
    assert capsys.readouterr().err == ""
