"""The CUDA kernel of the views, each time in a process of its own: Triton reads its sources as they
stand, not as the tests' shape checks have wrapped them, and its interpreter must be asked for
before it is imported.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def run(script: str, *words: str, **environment: str) -> list[str]:
    # the interpreter of Triton 3.6 fails with the numpy of today
    pytest.importorskip(
        "triton", "3.7", reason="TRITON IS NOT HERE, OR TOO OLD: THE VIEWS' KERNEL IS NOT TESTED"
    )
    command = [sys.executable, HERE / script, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


@pytest.mark.ci
def test_the_kernel_agrees_with_grid_sample_in_triton_s_interpreter():
    assert run("triton_against_torch.py", "cpu", TRITON_INTERPRET="1") == ["54", "cases"]


@pytest.mark.ci
def test_the_kernel_compiles_for_gpus_and_samples_a_small_view_once():
    assert run("triton_ahead_of_time.py", TRITON_INTERPRET="0") == ["66", "kernels"]


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO GPU HERE: THE VIEWS' KERNEL IS NOT TESTED ON ONE"
)
def test_the_kernel_agrees_with_grid_sample_on_a_gpu():
    assert run("triton_against_torch.py", "cuda", TRITON_INTERPRET="0") == ["54", "cases"]
