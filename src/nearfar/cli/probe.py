"""`nearfar probe`."""

from typing import Annotated, Literal

import typer

from nearfar.cli import options as opt


def probe(
    run: opt.RunFolder,
    data: Annotated[
        str | None, typer.Option(help="data to measure on (default: the data of the run)")
    ] = None,
    kind: Annotated[
        Literal["linear", "knn"],
        typer.Option(help="linear: a linear classifier; knn: nearest neighbors"),
    ] = "linear",
    labels_per_class: Annotated[
        int | None,
        typer.Option(help="linear only: labels per class to train on; mean of 5 random choices"),
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Measure the representations of a run's encoder again, on its own data or on other data."""
    from nearfar.core.progress import Progress

    progress = Progress(quiet=quiet)
    progress.say(opt.STARTING)
    from nearfar.experiment.probe import probe_run

    measured = probe_run(
        run, data=data, kind=kind, labels_per_class=labels_per_class, progress=progress
    )
    if as_json:
        opt.print_json(measured)
        return
    rows = [
        [m["name"], f"{100 * m['value']:.1f}", str(m["n"])]
        for m in measured
        if not isinstance(m["value"], list)
    ]
    print(opt.table(["measurement", "test, %", "n"], rows))
    print(measured[0]["protocol"])
