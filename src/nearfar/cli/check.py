"""`nearfar check`."""

from typing import Annotated

import typer

from nearfar.cli import options as opt

FOUND = 2


def check(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA|RUN", help="data to train on (as for nearfar train), or a run's folder"
        ),
    ],
    views: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help=(
                "write a picture of 8 images in 8 views each: a name that nearfar methods lists,"
                " rand_augment(2, 9), or a TOML file with views.policy"
            ),
        ),
    ] = None,
    group_by: opt.GroupBy = None,
    against: opt.Against = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="end with exit code 2 if a problem was found")
    ] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Check data before training, or diagnose a run after it.

    Data: numbers of images, unreadable files, copies and near copies (with a picture of them),
    classes of very different size, and which methods can be used. Run: whether training went wrong,
    since when, and what to try; with --group-by how accuracy changes without the test images that
    have one of their group in training.
    """
    opt.say_starting(quiet=quiet)
    from nearfar.api.check import Looked
    from nearfar.api.check import check as look

    found = look(data, views=views, group_by=group_by, against=against, quiet=quiet)
    if as_json:
        opt.print_json(found.as_json())
    else:
        print("\n".join(found.lines()))
    if isinstance(found, Looked) and found.refused is not None:
        raise found.refused
    if strict and found.ill:
        raise typer.Exit(FOUND)
