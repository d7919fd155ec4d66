"""`nearfar embed`."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli import options as opt


def embed(
    run: opt.RunFolder,
    data: opt.Data,
    out: Annotated[
        Path, typer.Option(help="file to write; its ending is the format: .npz, .csv or .parquet")
    ],
    force: opt.ForceFile = False,
    precision: opt.Precision = "float32",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the representations of all images in DATA, from a run's encoder, to a file."""
    opt.say_starting(quiet=quiet)
    from nearfar.api import embed as api

    done = api.embed(run, data, out, force=force, precision=precision, quiet=quiet)
    opt.say_left_out(done["unreadable"])
    if as_json:
        opt.print_json(done)
    else:
        print(f"{done['out']}: {done['rows']:,} rows of width {done['width']}")
