"""`nearfar probe`."""

from typing import Annotated

import typer

from nearfar.cli import options as opt


def probe(
    run: opt.RunFolder,
    data: Annotated[str | None, typer.Option(help="other data than the run's own")] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="name of the evaluator, or your own, MODULE:CLASS (default: the linear probe)"
        ),
    ] = None,
    labels_per_class: Annotated[
        int | None, typer.Option(help="linear probe on so few labels, mean of 5 draws")
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Measure a run's frozen encoder again, on its own data or on others."""
    from nearfar.core.progress import Progress

    progress = Progress(quiet=quiet)
    progress.say(opt.STARTING)
    from nearfar.experiment.probe import probe_run
    from nearfar.report.formats import quantity

    with opt.own_code(kind):
        measured = probe_run(
            run, data=data, kind=kind, labels_per_class=labels_per_class, progress=progress
        )
    if as_json:
        opt.print_json(measured)
        return
    rows = [
        [m["title"], quantity(m["value"], m["unit"]), str(m["n"])]
        for m in measured
        if not isinstance(m["value"], list)
    ]
    print(opt.table(["measurement", "test", "n"], rows))
    print("\n".join(dict.fromkeys(m["protocol"] for m in measured)) or "nothing could be measured")
