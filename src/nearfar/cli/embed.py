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
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the representations of all images in DATA, from a run's encoder, to a file."""
    from nearfar.core.progress import Progress

    opt.refuse_existing(out, force=force)
    progress = Progress(quiet=quiet)
    progress.say(opt.STARTING)
    from nearfar.experiment.use import embed_data

    done = embed_data(run, data, out, progress)
    if as_json:
        opt.print_json(done)
    else:
        print(f"{done['out']}: {done['rows']:,} rows of width {done['width']}")
