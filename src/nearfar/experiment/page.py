"""The last files of a run and of a comparison: what was trained is complete, whether or not they
can be written.
"""

from pathlib import Path
from typing import Any

from nearfar.core.errors import RunError, TrainingStoppedError
from nearfar.experiment import folder as files
from nearfar.report import write_report


def write_page(out: Path) -> None:
    """report.html. TrainingStoppedError: the disk is full."""
    page = out / files.REPORT
    try:
        write_report([out], page)
    except RunError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or not files.is_full(cause):
            raise
        raise TrainingStoppedError(
            f"{page} cannot be written ({cause.strerror}); all else in {out} is complete: "
            f"make room, then `nearfar report {out}`"
        ) from error


def write_comparison(out: Path, summary: dict[str, Any]) -> None:
    """compare.json and report.html. TrainingStoppedError: the disk is full."""
    try:
        files.write_json(out / files.COMPARE, summary)
    except OSError as error:
        if not files.is_full(error):
            raise
        raise TrainingStoppedError(
            f"{out / files.COMPARE} cannot be written ({error.strerror}); its runs are complete: "
            f"make room, then the same command with --out {out} --resume"
        ) from error
    write_page(out)
