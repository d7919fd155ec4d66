"""`nearfar predict`."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli import options as opt


def predict(
    run: opt.RunFolder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="image files, or folders of images")
    ],
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Classify images with the classifier of a run."""
    opt.say_starting(quiet=quiet)
    from nearfar.api import predict as api

    found = api.predict(run, images, quiet=quiet)
    opt.say_left_out(found["unreadable"])
    if as_json:
        opt.print_json(found)
        return
    rows = [
        [row["path"], row["class"], f"{100 * row['probability']:.1f}"]
        for row in found["predictions"]
    ]
    print(opt.table(["image", "class", "probability, %"], rows))
    if found["title"] is not None:
        from nearfar.report.formats import quantity

        right = f", {quantity(found['test'], 'fraction')} on test" if found["test"] else ""
        print(f"classifier: {found['title']}{right}")
