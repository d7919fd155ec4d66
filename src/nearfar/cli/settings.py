"""The keys that `--set` takes, shown under the help of the commands that take them."""

from typing import Any, final

import typer
from typer.core import TyperCommand


@final
class CommandWithSettings(TyperCommand):
    """A command whose help ends with every key of the configuration, read from the models."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        from nearfar.config.keys import all_keys

        typer.echo(
            "Keys for --set and for a recipe's TOML file (those of a method: nearfar methods):"
        )
        for key in all_keys():
            typer.echo(f"  {key.path} = {key.default}    {key.text}")
