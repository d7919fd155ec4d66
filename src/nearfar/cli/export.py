"""`nearfar export`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nearfar.cli import options as opt


def export(
    run: opt.RunFolder,
    to: Annotated[
        Literal["onnx", "torch", "timm"],
        typer.Option(
            help=(
                "the form: onnx (wants nearfar's extra, export), torch (.pt2, an exported"
                " program), or timm, which prints the line that opens the run"
            )
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="file to write (default: in the run's folder)")
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="with onnx: also a file in 8 bits, and what it costs in kNN"),
    ] = False,
    force: opt.ForceFile = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write a run's encoder, alone and with its classifier, for other programs.

    What is written is run as they run it, in batches of 1, 7 and 32 images of the run; a difference
    from nearfar's own numbers of more than 1e-4 is an error.
    """
    opt.say_starting(quiet=quiet)
    from nearfar.api import export as api

    done = api.export(run, to, out=out, int8=int8, force=force, quiet=quiet)
    if as_json:
        opt.print_json(done)
    else:
        print("\n".join(_lines(done)))


def _lines(done: dict[str, Any]) -> list[str]:
    if "lines" in done:
        return [
            f"# timm cannot build this network by itself; {done['out']} is loaded so:",
            done["lines"],
        ]
    compared = f"largest difference {done['max_difference']:.1e} on {done['images']}"
    if "line" in done:
        return ["import timm", "", done["line"], f"# {compared}"]
    found = [f"{done['out']}: the encoder"]
    if done["classifier"] is not None:
        found.append(f"{done['classifier']}: the encoder with the classifier")
    found.append(f"{compared}, in batches of 1, 7 and 32")
    if (eight := done.get("int8")) is not None:
        found.append(
            f"{eight['out']}: in 8 bits; kNN {100 * eight['knn']:.1f} % before,"
            f" {100 * eight['knn_int8']:.1f} % in 8 bits, of {eight['n']:,} test images"
        )
    return found
