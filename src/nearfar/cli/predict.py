"""`nearfar predict`."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nearfar.cli import options as opt

Out = Annotated[
    Path | None,
    typer.Option(
        help=(
            "file to write, with path, class, probability, the five likeliest classes of each image"
            " and whether it is decided (--sure) and unlike the training images; its ending is the"
            " format: .csv or .json"
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
Sure = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help=(
            "decide only where the classifier is sure: at the lowest probability from which at"
            " least this share of the validation images (such as 0.9) was right, and not where an"
            " image is unlike those of training; all others are left to you"
        ),
    ),
]


SortBy = Annotated[
    Literal["sure", "unsure"] | None,
    typer.Option(help="list the images by probability: the surest first, or the least sure first"),
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
    sure: Sure = None,
    sort_by: SortBy = None,
    force: Force = False,
    precision: opt.Precision = "float32",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Classify images with the classifier of a run, into a table, a file, or folders of copies."""
    opt.say_starting(quiet=quiet)
    from nearfar.api import predict as api

    wanted = api.Wanted(
        out=out, into=sort_into, force=force, sure=sure, sort_by=sort_by, precision=precision
    )
    found = api.predict(run, images, wanted, quiet=quiet)
    opt.say_left_out(found["unreadable"])
    if as_json:
        opt.print_json(found)
        return
    if out is not None:
        print(f"{out}: {len(found['predictions']):,} rows")
    if sort_into is not None:
        print(_sorted(found, sort_into))
    elif out is None:
        print(_table(found["predictions"], with_decided=sure is not None))
    for line in _judged(found):
        print(line)
    if found["title"] is not None:
        from nearfar.report.formats import quantity

        test = found["test"]
        right = f", {quantity(test, 'fraction')} on test" if test is not None else ""
        print(f"classifier: {found['title']}{right}")


def _table(predictions: list[dict[str, Any]], *, with_decided: bool) -> str:
    headings = ["image", "class", "probability, %", *(["decided"] if with_decided else [])]
    rows = [
        [
            row["path"],
            row["class"],
            f"{100 * row['probability']:.1f}",
            *([_decided(row)] if with_decided else []),
        ]
        for row in predictions
    ]
    return opt.table(headings, rows)


def _decided(row: dict[str, Any]) -> str:
    """Whether it is, and why not."""
    if row["decided"]:
        return "yes"
    return "no, unlike" if row["unlike"] else "no, unsure"


def _sorted(found: dict[str, Any], into: Path) -> str:
    from nearfar.api.sorting import UNDECIDED

    rows = found["predictions"]
    counts = Counter(row["class"] for row in rows if row["decided"])
    lines = [[name, f"{count:,}"] for name, count in sorted(counts.items())]
    if left := len(rows) - counts.total():
        lines.append([UNDECIDED, f"{left:,}"])
    table = opt.table(["class", "images"], lines)
    return f"{table}\n{into}: {found['copied']:,} images copied, by class"


def _judged(found: dict[str, Any]) -> list[str]:
    """What was left to a person and why; where nothing was to be, how many images are unlike those
    of training.
    """
    rows, sure = found["predictions"], found["sure"]
    unlike = sum(bool(row["unlike"]) for row in rows)
    others = f"{unlike:,} of {len(rows):,} images"
    if sure is None:
        said = f"unlike the training images, so look at them yourself: {others}"
        return [said] if unlike else []
    decided = sum(row["decided"] for row in rows)
    unsure = len(rows) - decided - unlike
    lines = [
        f"decided: {decided:,} of {len(rows):,} images; left to you: {unsure:,} unsure, {unlike:,}"
        " unlike the training images"
    ]
    if sure["threshold"] is None:
        wanted, n = _percent(sure["wanted"]), sure["validation"]["n"]
        why = f"fewer than {wanted} of the validation images that reach it are right ({n:,} in all)"
        return [*lines, f"nothing is decided: however high the probability, {why}"]
    return [
        *lines,
        f"sure from a probability of {_percent(sure['threshold'])} on, chosen on validation:",
        f"  validation: {_share(sure['validation'])}",
        f"  test: {_share(sure['test'])}",
    ]


def _share(of: dict[str, Any]) -> str:
    """ "82.1 % of 274 images decided, 90.2 % of those right (95 % interval 85.6–93.5)"."""
    from nearfar.report.formats import interval

    decided = f"{_percent(of['decided'] / of['n'])} of {of['n']:,} images decided"
    if of["accuracy"] is None:
        return decided
    ends = interval(of["interval"], "fraction")
    return f"{decided}, {_percent(of['accuracy'])} of those right (95 % interval {ends})"


def _percent(share: float) -> str:
    from nearfar.report.formats import quantity

    return quantity(share, "fraction")
