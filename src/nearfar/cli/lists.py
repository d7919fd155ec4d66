"""`nearfar methods` and `nearfar encoders`: lists, generated from the code."""

from typing import Annotated

import typer

from nearfar.cli import options as opt

Search = Annotated[str | None, typer.Option(help="only names that contain this")]


def methods(
    search: Search = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """List the methods: what each needs, its views, its paper; then the view policies."""
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
        print(
            f"{row['name']}: {row['summary']}\n    {needs}; views {row['views']}{small};"
            f" {row['paper']}"
        )
    policies = [row for row in list_policies() if not search or search in row["name"]]
    if policies:
        print(
            "\nView policies, for --set views.policy=NAME; nearfar check DATA --views NAME draws"
            " one:"
        )
    for row in policies:
        print(f"{row['name']}: {row['summary']}\n    {row['source']}")


def encoders(
    search: Search = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """List the encoders: conv4, and every network that timm knows."""
    from nearfar.nn.building import encoder_names

    found = [name for name in encoder_names() if not search or search in name]
    if as_json:
        opt.print_json([{"name": name} for name in found])
    else:
        print("\n".join(found))
