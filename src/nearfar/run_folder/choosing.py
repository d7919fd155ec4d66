"""Which folder a run or a comparison gets, whether it may be used, and what a folder holds."""

import errno
import os
from pathlib import Path

from nearfar.core.errors import RunError
from nearfar.run_folder.lock import refuse_in_use
from nearfar.run_folder.names import COMPARE, ENCODER, LOCK, RESULTS, RUN_TOML, TUNING


def part_of(method: str) -> str:
    """A method's name as part of a path: a user's own has a colon, which not every system takes."""
    return method.replace(":", "-")


def free_folder(data: str, methods: str) -> Path:
    """runs/DATA-METHOD-k with the next free k."""
    k = 1
    while (folder := Path("runs", f"{data}-{part_of(methods)}-{k}")).exists():
        k += 1
    return folder


def latest_folder(data: str, methods: str) -> Path:
    """The newest of the runs/DATA-METHOD-k. RunError: there is none."""
    k = 1
    while Path("runs", f"{data}-{part_of(methods)}-{k}").exists():
        k += 1
    if k == 1:
        under = f"runs/{data}-{part_of(methods)}-*"
        raise RunError(
            f"--resume: want an interrupted run, got none under {under}; name it by --out"
        )
    return Path("runs", f"{data}-{part_of(methods)}-{k - 1}")


def runs_inside(folder: Path, name: str = RUN_TOML) -> list[Path]:
    """The run folders in a comparison's, METHOD/seedN, that have a file of this name."""
    return sorted(file.parent for file in folder.glob(f"*/seed*/{name}"))


def is_run(path: str | Path) -> bool:
    """Whether it is a run folder. RunError: it is a comparison's, or a part of a run's folder."""
    folder = Path(path).expanduser()
    if (folder / RUN_TOML).is_file():
        return True
    inner = folder.parent if folder.parent.name == ENCODER.parent.name else folder
    is_part = inner.is_file() or inner.name == ENCODER.parent.name
    if is_part and (inner.parent / RUN_TOML).is_file():
        raise RunError(f"{folder} is part of a run; give the run's folder, {inner.parent}")
    if inside := runs_inside(folder):
        raise RunError(f"{folder} holds a comparison; give one of its runs, such as {inside[0]}")
    return False


def check_free(folder: Path, *, resume: bool, force: bool, comparison: bool) -> None:
    """RunError where the folder may not be used, for a comparison or for one run; nothing is
    touched yet.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out: want a folder, got the file {folder}")
    refuse_in_use(folder)
    filled = folder.exists() and any(path.name != LOCK for path in folder.iterdir())
    if resume and not filled:
        there = "is empty" if folder.exists() else "does not exist"
        raise RunError(
            f"--resume: {folder} {there}, so there is nothing to continue; leave --resume out to"
            " begin a new one there"
        )
    left_behind = (folder / LOCK).exists()  # by a run that was killed before it wrote anything
    if folder.exists() and not resume and not force and not filled and not left_behind:
        raise RunError(
            f"--out: {folder} exists, and is empty; use it by --force, or name another --out"
        )
    if filled:
        _check_content(folder, resume=resume, force=force, comparison=comparison)
    standing = folder
    while not standing.exists():
        standing = standing.parent
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        raise RunError(f"--out: {folder} cannot be written ({standing} does not allow it)")


def _check_content(folder: Path, *, resume: bool, force: bool, comparison: bool) -> None:
    one = (folder / RUN_TOML).exists() or (folder / RESULTS).exists()
    tuned = any(folder.glob(f"*/{TUNING}/{RUN_TOML}"))  # and stopped before its first run
    several = (folder / COMPARE).exists() or tuned or bool(runs_inside(folder))
    if not one and not several:
        raise RunError(f"{folder} is no run folder; name another --out")
    if one and comparison:
        raise RunError(
            f"--out: {folder} holds one run (`nearfar train`); name a comparison's folder or a"
            " new one"
        )
    if several and not comparison:
        raise RunError(
            f"--out: {folder} holds a comparison (`nearfar compare`); name a run's folder or a"
            " new one"
        )
    if not resume and not force:
        raise RunError(
            f"{folder} exists; continue it by --resume, replace it by --force, or name another"
            " --out"
        )


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room or of permission: no fault of what was written."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
