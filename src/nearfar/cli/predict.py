"""`nearfar predict`."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from nearfar.cli import options as opt

Out = Annotated[
    Path | None,
    typer.Option(
        help=(
            "file to write, with path, class, probability and the five likeliest classes of each"
            " image; its ending is the format: .csv or .json"
        )
    ),
]
SortInto = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help=(
            "folder that gets a copy of each image, in a subfolder named like its class; the images"
            " themselves stay where they are"
        ),
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help=(
            "replace the file of --out if it exists, and copy into a --sort-into folder that is not"
            " empty (no image there is replaced)"
        ),
    ),
]


def predict(
    run: opt.RunFolder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="image files, or folders of images")
    ],
    out: Out = None,
    sort_into: SortInto = None,
    force: Force = False,
    precision: opt.Precision = "float32",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Classify images with the classifier of a run, into a table, a file, or folders of copies."""
    opt.say_starting(quiet=quiet)
    from nearfar.api import predict as api

    found = api.predict(
        run, images, out=out, into=sort_into, force=force, precision=precision, quiet=quiet
    )
    opt.say_left_out(found["unreadable"])
    if as_json:
        opt.print_json(found)
        return
    if out is not None:
        print(f"{out}: {len(found['predictions']):,} rows")
    if sort_into is not None:
        print(_sorted(found, sort_into))
    elif out is None:
        print(_table(found["predictions"]))
    if found["title"] is not None:
        from nearfar.report.formats import quantity

        right = f", {quantity(found['test'], 'fraction')} on test" if found["test"] else ""
        print(f"classifier: {found['title']}{right}")


def _table(predictions: list[dict[str, Any]]) -> str:
    rows = [[row["path"], row["class"], f"{100 * row['probability']:.1f}"] for row in predictions]
    return opt.table(["image", "class", "probability, %"], rows)


def _sorted(found: dict[str, Any], into: Path) -> str:
    counts = Counter(row["class"] for row in found["predictions"])
    rows = [[name, f"{count:,}"] for name, count in sorted(counts.items())]
    table = opt.table(["class", "images"], rows)
    return f"{table}\n{into}: {found['copied']:,} images copied, by class"
