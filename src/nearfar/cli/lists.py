"""`nearfar methods`, `nearfar encoders` and `nearfar recipes`: lists, generated from the code."""

from typing import Annotated, Any

import typer

from nearfar.cli import options as opt

Search = Annotated[str | None, typer.Option(help="list only names that contain this text")]


def methods(
    search: Search = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """List the methods, with what each needs, its views and its paper, and the view policies."""
    from nearfar.api.lists import list_methods, list_policies

    found = [row for row in list_methods() if not search or search in row["name"]]
    if as_json:
        opt.print_json(found)
        return
    for row in found:
        needs = "needs labels" if row["needs_labels"] else "needs no labels"
        small = (
            f" (up to 40 px {row['views_up_to_40_px']})"
            if row["views_up_to_40_px"] != row["views"]
            else ""
        )
        views = f"; views {row['views']}{small}" if row["views"] is not None else ""
        print(f"{row['name']}: {row['summary']}\n    {needs}{views}; {row['paper']}")
    if len(found) == 1:
        _show_settings(found[0])
    policies = [row for row in list_policies() if not search or search in row["name"]]
    if policies:
        print(
            "\nView policies, for --set views.policy=NAME; nearfar check DATA --views NAME draws"
            " one:"
        )
    for row in policies:
        print(f"{row['name']}: {row['summary']}\n    {row['source']}")


def _show_settings(row: dict[str, Any]) -> None:
    """The settings of the one method that was found."""
    from nearfar.config.keys import shown

    for key, setting in row["settings"].items():
        print(f"    method.{key} = {shown(setting['default'])}\n        {setting['is']}")


def encoders(
    search: Search = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """List the networks that can be trained: conv4, three small ResNets and all of timm's."""
    from nearfar.nn.building import encoder_names

    found = [name for name in encoder_names() if not search or search in name]
    if as_json:
        opt.print_json([{"name": name} for name in found])
    else:
        print("\n".join(found))


def recipes(
    search: Search = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """List the recipes: published experiments, with the command that repeats each and its result.

    Train one with nearfar train DATA --recipe NAME, or set several side by side with nearfar
    compare DATA --recipes A,B.
    """
    from nearfar.config.recipes import list_recipes

    found = [row for row in list_recipes() if not search or search in row["name"]]
    if as_json:
        opt.print_json(found)
        return
    for row in found:
        lines = [row["source"], row["command"], f"expected: {row['expected']}"]
        print("\n    ".join([row["name"], *lines]))
