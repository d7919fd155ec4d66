"""`nearfar check`."""

from typing import Annotated

import typer

from nearfar.cli import options as opt

FOUND = 2


def check(
    data: Annotated[str, typer.Argument(metavar="DATA|RUN", help="what you would train on, or a run folder")],
    strict: Annotated[bool, typer.Option("--strict", help="exit 2 if anything was found")] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Look at data before training: counts, unreadable files, duplicates, imbalance, which methods fit.

    Of a run folder: whether anything in it is ill, since when, and what to try.
    """
    from nearfar.core.progress import Progress

    progress = Progress(quiet=quiet)
    progress.say(opt.STARTING)
    from nearfar.experiment.check import check_data
    from nearfar.experiment.check_run import check_run, is_run

    if is_run(data):
        checked = check_run(data)
        if as_json:
            opt.print_json(checked.as_json())
        else:
            print("\n".join([verdict.text for verdict in checked.verdicts] or [checked.healthy]))
        if strict and checked.verdicts:
            raise typer.Exit(FOUND)
        return

    findings = check_data(data, progress)
    if as_json:
        opt.print_json({"findings": findings})
    else:
        for finding in findings:
            print(f"{finding['severity']:8} {finding['text']}")
    if strict and any(finding["severity"] != "note" for finding in findings):
        raise typer.Exit(FOUND)
