"""What a run ran on: versions, hardware, git state, time."""

import datetime
import platform
import subprocess
from importlib.metadata import version
from typing import Any

import torch

from nearfar.core.hardware import describe
from nearfar.core.version import __version__

PACKAGES = ("torch", "torchvision", "timm", "lightning-fabric", "scikit-learn", "numpy")


def environment(device: torch.device) -> dict[str, Any]:
    """The content of environment.json."""
    return {
        "nearfar": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        **describe(device),
        "git": _git_state(),
        "time_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _git_state() -> str | None:
    """The commit of the working directory, "+changes" where files differ from it; None outside a
    repository.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, timeout=5, check=True
    )
    return done.stdout.strip()
