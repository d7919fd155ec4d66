"""The last files of a run and of a comparison: what was trained is complete, whether or not they
can be written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearfar.core.errors import RunError, TrainingStoppedError
from nearfar.core.progress import Progress
from nearfar.report import write_report
from nearfar.run_folder import names
from nearfar.run_folder.choosing import is_full
from nearfar.run_folder.comparison import ComparisonResults
from nearfar.run_folder.folder import RunFolder


def write_page(folder: RunFolder) -> None:
    """report.html. TrainingStoppedError: the disk is full."""
    if not folder.writes:
        return
    page = folder.path / names.REPORT
    try:
        write_report([folder.path], page)
    except RunError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or not is_full(cause):
            raise
        raise TrainingStoppedError(
            f"{page} cannot be written ({cause.strerror}); all else in {folder.path} is complete: "
            f"make room, then `nearfar report {folder.path}`"
        ) from error


def write_comparison(folder: RunFolder, results: ComparisonResults) -> None:
    """compare.json and report.html. TrainingStoppedError: the disk is full."""
    out = folder.path
    try:
        folder.write_comparison(results)
    except OSError as error:
        if not is_full(error):
            raise
        raise TrainingStoppedError(
            f"{out / names.COMPARE} cannot be written ({error.strerror}); its runs are complete: "
            f"make room, then the same command with --out {out} --resume"
        ) from error
    write_page(folder)


@contextmanager
def saying_what_is_finished(out: Path, progress: Progress) -> Iterator[None]:
    """Around what comes after training and measuring: an interrupt then says what is finished, and
    where.
    """
    try:
        yield
    except KeyboardInterrupt:
        page = out / names.REPORT
        report = f"with its report {page}"
        if not page.exists():
            report = f"but for its report: the same command with --out {out} --resume writes it"
        progress.say(f"all is finished in {out}, {report}")
        raise
