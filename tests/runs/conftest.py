"""A tiny complete run, trained once for all tests of this folder, and the command line in this
process.
"""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nearfar.cli.main import main

TINY = ("--epochs", "2", "--batch-size", "128", "--set", "evaluate.selections=2")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def call(*arguments: str | Path) -> Ended:
    """`nearfar ARGUMENTS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["nearfar", *(str(argument) for argument in arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture
def nearfar_command() -> Callable[..., Ended]:
    return call


@pytest.fixture(scope="session")
def nearfar_session() -> Callable[..., Ended]:
    """The same, for fixtures that live longer than a test."""
    return call


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """supcon on the digits for two epochs. Not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    ended = call("train", "digits", "--method", "supcon", "--out", out, *TINY)
    assert ended.code == 0, ended.err
    return out


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three class folders of 20 colored pictures, 24 x 16 px, one name hostile to
    HTML.
    """
    root = tmp_path_factory.mktemp("data") / "photos"
    random = np.random.default_rng(0)
    for label, name in enumerate(("leaf", "stem", "<b>root")):
        (root / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 80, (16, 24, 3), dtype=np.uint8)
            pixels[:, :, label] += 150
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
    return root
