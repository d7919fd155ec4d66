"""`nearfar report`: the page of one or several runs, written again."""

from collections.abc import Sequence
from pathlib import Path

from nearfar.api.embed import refuse_existing
from nearfar.report import ending as last_lines
from nearfar.report import write_report
from nearfar.run_folder import names


def report(runs: Sequence[Path], out: Path | None = None, *, force: bool = False) -> Path:
    """Where it was written: `out`, or report.html in the first folder, which is the run's own and
    is replaced. UserError: `out` is there and `force` is not; RunError: no run, or a broken file.
    """
    if out is not None:
        refuse_existing(out, force=force)
    return write_report(runs, out or runs[0] / names.REPORT)


def ending(run: Path) -> str:
    """What a terminal ends with: the first sentence of the report on a run or a comparison, and how
    to use it.
    """
    return "\n".join(last_lines([run]))
