"""`nearfar probe`."""

from typing import Annotated

import typer

from nearfar.cli import options as opt


def probe(
    run: opt.RunFolder,
    data: Annotated[
        str | None, typer.Option(help="data to measure on (default: the data of the run)")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help=(
                "the evaluator: linear (linear classifier; the default), knn (nearest neighbors),"
                " few_label, retrieval, or MODULE:CLASS of your own"
            )
        ),
    ] = None,
    labels_per_class: Annotated[
        int | None,
        typer.Option(
            help="few_label: labels per class to train on (default: 10); mean of 5 random choices"
        ),
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Measure the representations of a run's encoder again, on its own data or on other data."""
    opt.say_starting(quiet=quiet)
    from nearfar.api import probe as api
    from nearfar.report.formats import quantity

    with opt.own_code({"evaluate.probes": [kind]}, None, None):
        measured = api.probe(
            run, data=data, kind=kind, labels_per_class=labels_per_class, quiet=quiet
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
