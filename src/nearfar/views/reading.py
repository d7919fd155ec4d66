"""A policy from a configuration: a name, or one spelt out; what is wrong with it in words. No torch."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nearfar.config.loading import nearest
from nearfar.core.errors import ConfigError
from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.operations import OPERATIONS
from nearfar.views.policies import POLICIES, named_policy

_SHORTER = (("want ", ""), ("less than or equal to", "at most"), ("greater than or equal to", "at least"))


def read_policy(value: str | Mapping[str, Any]) -> Policy:
    """The policy of that name, or the one that a configuration spells out: kinds, or one kind's own keys.

    ConfigError: no such name, or what is wrong with it, by path.
    """
    if isinstance(value, str):
        try:
            return named_policy(value)
        except KeyError:
            hint = nearest(value, list(POLICIES)) or f"; want one of {', '.join(POLICIES)}, or a policy of your own"
            raise ConfigError([f'views.policy: no policy "{value}"{hint}'], "configuration") from None
    try:
        return Policy.model_validate(dict(value) if "kinds" in value else {"kinds": [value]})
    except ValidationError as error:
        raise ConfigError([_problem(details) for details in error.errors()], "configuration") from error


def _problem(details: ErrorDetails) -> str:
    """One thing wrong with a policy: where, what is wanted, what came."""
    tags = {kind.model_fields["op"].default for kind in OPERATIONS}
    path = "views.policy"
    for part in details["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in tags:
            path += f".{part}"
    last, got = str(details["loc"][-1]), details["input"]
    match details["type"]:
        case "union_tag_invalid":
            name = str(got.get("op")) if isinstance(got, Mapping) else str(got)
            return f'{path}.op: no operation "{name}"{nearest(name, sorted(tags)) or f"; want one of {sorted(tags)}"}'
        case "union_tag_not_found":
            return f'{path}: want an operation such as {{op = "flip"}}, got {got!r}'
        case "extra_forbidden":
            names = {name for kind in (*OPERATIONS, Policy, Kind, Tiles) for name in kind.model_fields}
            return f"{path}: unknown key{nearest(last, sorted(names))}"
        case "missing":
            return f"{path}: is missing"
        case _:
            want = details["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            for long, short in _SHORTER:
                want = want.replace(long, short)
            return f"{path}: want {want}, got {got!r}"
