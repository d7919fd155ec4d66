"""`nearfar check`."""

from typing import Annotated, Any

import typer

from nearfar.cli import options as opt
from nearfar.core.errors import DataError, UserError
from nearfar.run_folder.names import VIEWS

FOUND = 2


def check(
    data: Annotated[
        str, typer.Argument(metavar="DATA|RUN", help="what you would train on, or a run folder")
    ],
    views: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help=(
                "draw 8 images in 8 views each: a name (nearfar methods lists them),"
                " rand_augment(2, 9), or a TOML "
                "file with views.policy"
            ),
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit 2 if anything was found")] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Look at data before training: counts, unreadable files, duplicates, imbalance, which methods
    fit, views.

    Of a run folder: whether anything in it is ill, since when, and what to try.
    """
    from nearfar.core.progress import Progress

    progress = Progress(quiet=quiet)
    progress.say(opt.STARTING)
    from nearfar.experiment.check import check_data
    from nearfar.experiment.check_run import is_run
    from nearfar.experiment.views import choose_policy, write_check_sheet

    if is_run(data):
        if views is not None:
            raise UserError(
                f"--views: {data} is a run, and its views stand in {VIEWS}; leave it out, or give"
                " data"
            )
        _show_verdicts(data, strict=strict, as_json=as_json)
        return
    chosen = choose_policy(views) if views is not None else None
    findings = check_data(data, progress)
    found: dict[str, Any] = {"findings": findings}
    refused = None
    if chosen is not None:
        try:
            found["views"] = str(write_check_sheet(data, chosen, progress))
        except DataError as error:  # what was found is shown all the same
            found["views"], refused = None, error
    if as_json:
        opt.print_json(found)
    else:
        for finding in findings:
            print(f"{finding['severity']:8} {finding['text']}")
        if found.get("views"):
            print(f"views: {found['views']}")
    if refused is not None:
        raise refused
    if strict and any(finding["severity"] != "note" for finding in findings):
        raise typer.Exit(FOUND)


def _show_verdicts(run: str, *, strict: bool, as_json: bool) -> None:
    from nearfar.experiment.check_run import check_run

    checked = check_run(run)
    if as_json:
        opt.print_json(checked.as_json())
    else:
        print("\n".join([verdict.text for verdict in checked.verdicts] or [checked.healthy]))
    if strict and checked.verdicts:
        raise typer.Exit(FOUND)
