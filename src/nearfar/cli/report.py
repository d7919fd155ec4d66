"""`nearfar report`."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli import options as opt
from nearfar.run_folder.names import REPORT


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN|DIR...", help="folders of runs, or the folder of a comparison"),
    ],
    out: Annotated[
        Path | None, typer.Option(help=f"file to write (default: {REPORT} in the first folder)")
    ] = None,
    force: opt.ForceFile = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the report of one or several runs again, from what is in their folders."""
    from nearfar.api import report as api

    written = api.report(runs, out, force=force)
    if as_json:
        opt.print_json({"report": str(written)})
    else:
        print(f"report: {written}")
