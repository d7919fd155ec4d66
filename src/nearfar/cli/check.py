"""`nearfar check`."""

from typing import Annotated

import typer

from nearfar.cli import options as opt

FOUND = 2


def check(
    data: Annotated[str, typer.Argument(metavar="DATA", help="what you would train on")],
    strict: Annotated[bool, typer.Option("--strict", help="exit 2 if anything was found")] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Look at data before training: counts, unreadable files, duplicates, imbalance, which methods fit."""
    from nearfar.core.progress import Progress

    progress = Progress(quiet=quiet)
    progress.say(opt.STARTING)
    from nearfar.experiment.check import check_data

    findings = check_data(data, progress)
    if as_json:
        opt.print_json({"findings": findings})
    else:
        for finding in findings:
            print(f"{finding['severity']:8} {finding['text']}")
    if strict and any(finding["severity"] != "note" for finding in findings):
        raise typer.Exit(FOUND)
