"""Beside other work: threads that wait sleep, and the library leaves the environment alone."""

import ast
import json
import os
import subprocess
import sys

import pytest
import torch

import nearfar


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process in which nobody has set a policy yet, but for what is given."""
    rest = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**rest, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP, which says it otherwise")
@pytest.mark.parametrize(("users", "spins"), [("", "'0'"), ("active", "'30000000000'")])
def test_the_command_s_threads_sleep_where_they_wait_unless_the_user_says_otherwise(users, spins):
    """What torch's own libgomp says that it goes by: without a policy it spins 300,000 times."""
    asked = {"OMP_WAIT_POLICY": users} if users else {}
    done = run_python(
        "-m", "nearfar", "encoders", "--search", "conv4", OMP_DISPLAY_ENV="verbose", **asked
    )
    assert "conv4" in done.stdout
    counts = [line for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    assert counts
    assert all(spins in line for line in counts), counts


def test_importing_the_library_sets_no_policy():
    code = "import os, nearfar.api.compare; print(sorted(os.environ))"
    assert not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(
        ast.literal_eval(run_python("-c", code).stdout)
    )


def test_a_run_on_the_digits_is_computed_in_one_thread(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = nearfar.train("digits", out=tmp_path / "run", smoke=True, quiet=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert json.loads((run.path / "environment.json").read_text())["threads"] == 1
