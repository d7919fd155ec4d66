"""`nearfar`: the application, and the only place where an unforeseen error is caught."""

import atexit
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from nearfar.cli.check import check
from nearfar.cli.compare import compare, demo
from nearfar.cli.embed import embed
from nearfar.cli.export import export
from nearfar.cli.lists import encoders, methods, recipes
from nearfar.cli.predict import predict
from nearfar.cli.probe import probe
from nearfar.cli.report import report
from nearfar.cli.settings import CommandWithSettings
from nearfar.cli.train import train
from nearfar.core.errors import NearfarError, OwnMethodError
from nearfar.core.version import __version__

INTERRUPTED = 130
USAGE = 2
STOPPED = "interrupted; what is complete stays"


def one_line_each(doc: str | None) -> str:
    """The paragraphs of a docstring, each on one line, which the terminal then breaks."""
    return "\n\n".join(" ".join(part.split()) for part in (doc or "").split("\n\n"))


app = typer.Typer(
    name="nearfar",
    help=(
        "Train image encoders, with or without labels, and measure how good the representations"
        " are that they have learned."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"nearfar {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="show the version"),
    ] = False,
) -> None:
    """What stands before a command."""


WITH_SETTINGS = (train, compare)
MEASURING = (check, report, predict, embed, export, probe)
LISTS = (methods, encoders, recipes)
for command in (demo, train, compare, *MEASURING, *LISTS):
    app.command(
        cls=CommandWithSettings if command in WITH_SETTINGS else None,
        help=one_line_each(command.__doc__),
    )(command)


def main() -> None:
    """Runs a command and exits: 0 done, 2 the user's input, 3 training stopped, 130 interrupted, 1
    our fault.
    """
    debug = "--debug" in sys.argv
    _sleep_at_barriers()
    # as a cluster's scheduler stops a run: what is complete is made usable, as by Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _libraries_silent("--quiet" in sys.argv):
            code = app(standalone_mode=False)
        if code == INTERRUPTED:  # typer has caught the KeyboardInterrupt
            _told(STOPPED, INTERRUPTED, debug=False)
    except OwnMethodError as error:
        traceback.print_exception(error.__cause__)
        code = _told(str(error), error.exit_code, debug=False)
    except NearfarError as error:
        code = _told(str(error), error.exit_code, debug=debug)
    except (KeyboardInterrupt, typer.Abort):
        code = _told(STOPPED, INTERRUPTED, debug=debug)
    except Exception as error:
        # how click reports wrong usage
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            code = _told(error.format_message(), USAGE, debug=debug)
        else:
            traceback.print_exc()
            code = _told("this is our fault, please report it with the lines above", 1, debug=False)
    atexit.register(_end_undisturbed)
    sys.exit(code if isinstance(code, int) else 0)


def _end_undisturbed() -> None:
    """All is done and said: from here on an interrupt changes nothing. Libraries take a moment to
    end, and one of them would answer it by a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def _libraries_silent(quiet: bool) -> Iterator[None]:
    """Where it is quiet, warnings of other libraries are not shown: nearfar's own are results or
    errors. Python's -W still makes errors of them.
    """
    if not quiet:
        yield
        return
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda *_warning, **_where: None
            yield
    finally:
        logging.disable(disabled)


def _sleep_at_barriers() -> None:
    """OpenMP's threads sleep where they wait for each other, instead of spinning on a core that
    others need. libgomp and libiomp read it when torch is imported, hence here; what the user has
    set stands.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _told(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"nearfar: {message}", file=sys.stderr)
    return code
