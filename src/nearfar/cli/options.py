"""Options that several commands share, and printing. Names of sections are those of the
configuration.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from nearfar.core.errors import NearfarError, OwnMethodError, UserError

STARTING = "starting (a few seconds) ..."
Data = Annotated[
    str, typer.Argument(help="'digits', a folder of class folders, or a .tar[.gz|.xz] of one")
]
Recipe = Annotated[
    Path | None, typer.Option(help="TOML file of settings; flags and --set go over it")
]
EncoderName = Annotated[
    str | None, typer.Option("--encoder", help="conv4 or a timm name; see nearfar encoders")
]
Pretrained = Annotated[bool, typer.Option("--pretrained", help="start from the hub's weights")]
Size = Annotated[
    int | None, typer.Option(help="side of the views, px (default 64, or the data's own)")
]
Epochs = Annotated[int | None, typer.Option(help="passes over the training images (default 100)")]
BatchSize = Annotated[int | None, typer.Option(help="images a step (default up to 256)")]
Classifier = Annotated[
    str | None,
    typer.Option(help="linear or mlp: a classifier stage after training, which predict then uses"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any setting, such as method.temperature=0.2"),
]
Out = Annotated[Path | None, typer.Option(help="run folder (default runs/DATA-METHOD-k)")]
Resume = Annotated[bool, typer.Option("--resume", help="continue an interrupted run")]
Force = Annotated[bool, typer.Option("--force", help="replace what stands in the run folder")]
ForceFile = Annotated[bool, typer.Option("--force", help="replace the file that --out names")]
Smoke = Annotated[bool, typer.Option("--smoke", help="two steps only: does it run?")]
Strict = Annotated[bool, typer.Option("--strict", help="no unreadable file is allowed")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no plan, no progress")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")]


@contextmanager
def own_code(*names: object) -> Iterator[None]:
    """Methods and evaluators of the user's own, `module:Class`, may stand in the current folder, as
    with python itself.

    OwnMethodError: an unforeseen error while there is one.
    """
    own = [name for name in names if isinstance(name, str) and ":" in name]
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


def named_probes(sections: dict[str, dict[str, Any]]) -> list[object]:
    """What evaluate.probes names, whether or not it is a list of names."""
    asked = sections.get("evaluate", {}).get("probes")
    return list(asked) if isinstance(asked, list | tuple) else []


def print_json(content: Any) -> None:
    print(json.dumps(content, ensure_ascii=False))


def refuse_existing(out: Path, *, force: bool) -> None:
    """UserError where a file of the user's would be overwritten."""
    if out.exists() and not force:
        raise UserError(f"--out: {out} exists; replace it by --force, or name another file")


def flags(
    *,
    size: int | None,
    epochs: int | None,
    batch_size: int | None,
    pretrained: bool,
    strict: bool,
) -> dict[str, Any]:
    """Flags by their place in the configuration; None where the user said nothing."""
    return {
        "data.size": size,
        "data.strict": strict or None,
        "encoder.pretrained": pretrained or None,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
    }


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
