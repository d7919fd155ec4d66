"""Options that several commands share, and printing; sections as the configuration names them."""

import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nearfar.core.errors import NearfarError, OwnMethodError, UserError
from nearfar.run_folder.names import RUN_TOML

STARTING = "starting (a few seconds) ..."
ASKING = "starting, and asking the hub for weights (a minute where it cannot be reached) ..."
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help=(
            "the images: digits (built in), a folder with one subfolder per class, or a .zip, .tar,"
            " .tar.gz or .tar.xz archive of such a folder, a table of labels (.csv or"
            " .parquet, or with the names of its columns .csv@IMAGE,LABEL), parquet files with"
            " images inside, arrays (.npz), or a published set by name, such as cifar10 (it is"
            " downloaded) or cifar10@FOLDER; docs/data.md has them all"
        ),
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help=(
            "settings of a whole experiment: a name that nearfar recipes lists, or a TOML file such"
            f" as a run's {RUN_TOML}; flags and --set override it"
        ),
    ),
]
EncoderName = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help=(
            "the network, a name that nearfar encoders lists (default: conv4 for views up to 16"
            " px, else resnet18)"
        ),
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option("--pretrained", help="start from the weights that timm publishes for the network"),
]
Size = Annotated[
    int | None,
    typer.Option(
        help=(
            "side length of the views, in pixels (default: 64, or the images' own if smaller; from"
            " given weights the network's own, at most 128 on a CPU)"
        )
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(help="passes over the images (default: 100; from given weights 10; demo: 60)"),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="MINUTES",
        help=(
            "how long the whole command may take, with all runs, evaluation and report; the number"
            " of epochs follows from it, instead of --epochs"
        ),
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="images per step (default: up to 256, from given weights 64; demo: 128)"),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="near|REGEX",
        help=(
            "keep together, on one side of a cut that nearfar makes, what is no copy but nearly so"
            " (near), or of which a regular expression finds the same in the path, such as a person"
            ' ("person[0-9]+")'
        ),
    ),
]
LabelsPerClass = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help=(
            "for experiments: train with the labels of N images of each class; the others become"
            " unlabeled images (validation and test keep theirs)"
        ),
    ),
]
LabelFraction = Annotated[
    float | None,
    typer.Option(
        metavar="F", help="for experiments: train with this fraction of each class's labels"
    ),
]
LabelNoise = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="for experiments: give each training image a wrong label with this probability",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER", help="other images: which of them are in DATA too, as they are or nearly"
    ),
]
Classifier = Annotated[
    str | None,
    typer.Option(help="after training also train a classifier, linear or mlp, for nearfar predict"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help=(
            "any other setting, such as --set optimizer.lr=0.1; may be repeated; nearfar train"
            " --help lists them"
        ),
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="folder to write (default: a new one, runs/DATA-METHOD-NUMBER)")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="continue an interrupted run from its last complete epoch")
]
Force = Annotated[bool, typer.Option("--force", help="replace what is in the folder already")]
ForceFile = Annotated[bool, typer.Option("--force", help="replace the output file if it exists")]
Precision = Annotated[
    Literal["float32", "bf16"],
    typer.Option(
        help=(
            "what the encoder computes in: bf16 is faster on processors that have it natively, and"
            " its representations differ a little"
        )
    ),
]
Smoke = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help=(
            "only test that everything works: two steps an epoch, one epoch, batches of at most 8,"
            " views of at most 64 pixels"
        ),
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="stop if an image cannot be read, instead of leaving it out"),
]
Json = Annotated[bool, typer.Option("--json", help="print the results as JSON, for other programs")]
Quiet = Annotated[bool, typer.Option("--quiet", help="show neither plan nor progress")]
Debug = Annotated[
    bool, typer.Option("--debug", help="show Python tracebacks of errors, for bug reports")
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="folder of a run, as nearfar train wrote it")
]


@contextmanager
def own_code(settings: dict[str, Any], recipes: str | None, methods: str | None) -> Iterator[None]:
    """Methods and evaluators of the user's own, `module:Class`, may stand in the current folder, as
    with python itself. `recipes` and `methods`: names with commas between.

    OwnMethodError: an unforeseen error while there is one.
    """
    own = [name for name in _named(settings, recipes, methods) if ":" in name]
    if own:
        sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    except NearfarError:
        raise
    except Exception as error:
        if not own:
            raise
        raise OwnMethodError(
            f"{', '.join(own)} is your own: look there first, by the lines above"
        ) from error


def _named(settings: dict[str, Any], recipes: str | None, methods: str | None) -> list[str]:
    """Every method and evaluator that is asked for; what is wrong with a recipe is said where it is
    read.
    """
    from nearfar.config.loading import Sections
    from nearfar.config.recipes import find_recipe

    bases: list[Sections] = []
    with suppress(UserError):
        bases = [find_recipe(name.strip()).sections for name in (recipes or "").split(",") if name]
    asked = settings.get("method.name") or methods
    methods_named = str(asked).split(",") if asked else _values(bases, "method", "name")
    probes = settings.get("evaluate.probes") or [
        name
        for found in _values(bases, "evaluate", "probes")
        if isinstance(found, list)
        for name in found
    ]
    names = [*methods_named, *(probes if isinstance(probes, list | tuple) else ())]
    return [name.strip() for name in names if isinstance(name, str)]


def _values(bases: list[dict[str, dict[str, Any]]], section: str, key: str) -> list[Any]:
    return [base.get(section, {}).get(key) for base in bases]


def say_starting(*, quiet: bool, pretrained: bool = False) -> float:
    """Said before the libraries are imported, which takes seconds; time.perf_counter before it."""
    began = time.perf_counter()
    from nearfar.core.progress import Progress

    Progress(quiet=quiet).say(ASKING if pretrained else STARTING)
    return began


@contextmanager
def finished(out: Path, *, quiet: bool) -> Iterator[None]:
    """While the results of what is finished are printed: an interrupt says where they are."""
    from nearfar.core.progress import Progress
    from nearfar.experiment.page import saying_what_is_finished

    with saying_what_is_finished(out, Progress(quiet=quiet)):
        yield


def command_line() -> str:
    """How the command was typed, as results.json says it."""
    return shlex.join(["nearfar", *sys.argv[1:]])


def print_json(content: Any) -> None:
    print(json.dumps(content, ensure_ascii=False))


def asked(
    overrides: list[str] | None,
    *,
    size: int | None,
    batch_size: int | None,
    pretrained: bool,
    classifier: str | None = None,
    group_by: str | None = None,
    strict: bool,
) -> dict[str, Any]:
    """Flags by their place in the configuration, then what `--set` says over them; None where the
    user said nothing.
    """
    from nearfar.config.loading import parse_override

    found: dict[str, Any] = {
        "data.size": size,
        "data.strict": strict or None,
        "data.group_by": group_by,
        "encoder.pretrained": pretrained or None,
        "train.batch_size": batch_size,
        "classifier.kind": classifier,
    }
    for text in overrides or ():
        section, key, value = parse_override(text)
        found[f"{section}.{key}"] = value
    return found


def labels_asked(
    per_class: int | None, fraction: float | None, noise: float | None
) -> dict[str, Any]:
    """Flags on labels by their place in the configuration; those that were not typed are left
    out.
    """
    flags = {
        "data.labels_per_class": per_class,
        "data.label_fraction": fraction,
        "data.label_noise": noise,
    }
    return {path: value for path, value in flags.items() if value is not None}


def say_left_out(files: Sequence[dict[str, str]]) -> None:
    """On stderr, the first ten by name, with why: `path` and `reason` of each."""
    for file in files[:10]:
        print(f"left out {file['path']}: {file['reason']}", file=sys.stderr)
    if len(files) > 10:
        print(f"left out {len(files) - 10:,} more; --json lists all", file=sys.stderr)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as they need; the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [headings, *rows]) for i in range(len(headings))]

    def line(cells: list[str]) -> str:
        first = cells[0].ljust(widths[0])
        return "  ".join(
            [first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        )

    return "\n".join(
        [line(headings), "  ".join("-" * width for width in widths), *(line(row) for row in rows)]
    )
