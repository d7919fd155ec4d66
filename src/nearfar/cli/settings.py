"""The keys that `--set` takes, shown under the help of the commands that take them."""

import shutil
import textwrap
from itertools import groupby
from typing import Any, final

import typer
from typer.core import TyperCommand

HEAD = (
    "All settings, with their defaults. Type one as --set SECTION.KEY=VALUE, for example --set"
    " train.epochs=50, or write it into a TOML file that you give with --recipe. Where a default is"
    " unset, nearfar chooses a value for your data, or does without. A method's own settings:"
    " nearfar methods --search NAME, or docs/config.md."
)
WIDEST = 100  # columns: longer lines are hard to read


@final
class CommandWithSettings(TyperCommand):
    """A command whose help ends with every key of the configuration, read from the models."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        typer.echo(settings_text(min(shutil.get_terminal_size().columns, WIDEST)))


def settings_text(width: int) -> str:
    """Every key by section: its default, and below what it means, no line wider than `width`."""
    from nearfar.config.keys import all_keys

    lines = textwrap.wrap(HEAD, width)
    for section, keys in groupby(all_keys(), lambda key: key.path.partition(".")[0]):
        lines += ["", f"[{section}]"]
        for key in keys:
            lines.append(f"  {key.path} = {key.default}")
            lines += textwrap.wrap(
                key.text,
                width,
                initial_indent=" " * 6,
                subsequent_indent=" " * 6,
                break_on_hyphens=False,
            )
    return "\n".join(lines)
