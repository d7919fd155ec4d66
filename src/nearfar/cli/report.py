"""`nearfar report`."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli import options as opt
from nearfar.run_folder.names import REPORT


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN|DIR...", help="run folders, or a comparison's folder"),
    ],
    out: Annotated[
        Path | None, typer.Option(help=f"file to write (default {REPORT} in the first folder)")
    ] = None,
    force: opt.ForceFile = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the page of one or several runs again."""
    if out is not None:
        opt.refuse_existing(out, force=force)
    from nearfar.report import write_report

    written = write_report(runs, out or runs[0] / REPORT)
    if as_json:
        opt.print_json({"report": str(written)})
    else:
        print(f"report: {written}")
