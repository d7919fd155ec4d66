"""A policy from a configuration: a name, or one spelt out; what is wrong with it in words. No
torch.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nearfar.config.problems import FORMS, nearest
from nearfar.core.errors import ConfigError
from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.operations import OPERATIONS, Data
from nearfar.views.policies import MOST_LAYERS, POLICIES, RAND_AUGMENT_CALL, named_policy

_TAGGED = {str(kind.model_fields["op"].default): kind for kind in OPERATIONS}
_SHORTER = (
    ("less than or equal to", "at most"),
    ("greater than or equal to", "at least"),
    ("greater than", "more than"),
    ("array", "list"),
    ("an object", "a table"),
)


def read_policy(value: str | Mapping[str, Any]) -> Policy:
    """The policy of that name, or the one that a configuration spells out: kinds, or one kind's own
    keys.

    ConfigError: no such name, or what is wrong with it, by path.
    """
    if isinstance(value, str):
        try:
            return named_policy(value)
        except KeyError:
            raise ConfigError(
                [f'views.policy: no policy "{value}"{_policy_hint(value)}'], "configuration"
            ) from None
    if not value:
        raise ConfigError(
            [
                'views.policy: want operations = [...], kinds = [...] or a name ("none" for no'
                " change), got nothing"
            ],
            "configuration",
        )
    several = "kinds" in value
    try:
        # By way of JSON, in which a list is a tuple, but neither "0.5" nor true is a number.
        return Policy.model_validate_json(
            json.dumps(dict(value) if several else {"kinds": [value]}, default=str)
        )
    except ValidationError as error:
        problems = [
            _problem(details, several=several)
            for details in error.errors()
            if not _is_echo(details)
        ]
        raise ConfigError(problems, "configuration") from error


def _policy_hint(name: str) -> str:
    if RAND_AUGMENT_CALL.fullmatch(name):
        return f"; want rand_augment(N, M) with N from 1 to {MOST_LAYERS} and M from 0 to 10"
    return (
        nearest(name, list(POLICIES))
        or f"; want one of {', '.join(POLICIES)}, or a policy of your own"
    )


def _is_echo(details: ErrorDetails) -> bool:
    """A list counts as too short, too, where an item of it is wrong."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def _problem(details: ErrorDetails, *, several: bool) -> str:
    """One thing wrong with a policy: where, what is wanted, what came."""
    path, model = _place(details["loc"], several=several)
    got = details["input"]
    match details["type"]:
        case "union_tag_invalid":
            name = str(got.get("op")) if isinstance(got, Mapping) else str(got)
            if name in _TAGGED:
                return f"{path}.op: want neither crop nor one_of inside one_of, got {name!r}"
            return (
                f"{path}.op: no operation"
                f' "{name}"{nearest(name, sorted(_TAGGED)) or _one_of(sorted(_TAGGED))}'
            )
        case "union_tag_not_found":
            return f'{path}: want an operation such as {{op = "flip"}}, got {got!r}'
        case "extra_forbidden":
            names = [*model.model_fields, *([] if several or model is not Kind else ["kinds"])]
            return f"{path}: unknown key{nearest(str(details['loc'][-1]), names) or _one_of(names)}"
        case "missing":
            return f"{path}: is missing"
        case "too_short":
            return f"{path}: want at least {details['ctx']['min_length']} item, got none"
        case "too_long":
            return f"{path}: want at most {details['ctx']['max_length']} items, got more"
        case "value_error":  # our own, which name the field and what came
            return f"{path}.{details['msg'].removeprefix('Value error, ')}"
        case other:
            want = FORMS.get(other) or details["msg"].removeprefix("Input should be ")
            for long, short in _SHORTER:
                want = want.replace(long, short)
            return f"{path}: want {want}, got {got!r}"


def _one_of(names: Sequence[str]) -> str:
    return f"; want one of {', '.join(names)}"


def _place(location: tuple[int | str, ...], *, several: bool) -> tuple[str, type[Data]]:
    """The path as the user wrote it, and the model whose key is its last part."""
    path, model, before = "views.policy", Policy, ""  # type: str, type[Data], int | str
    for number, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]" if several or number != 1 else ""
            model = Kind if before == "kinds" else model
        elif isinstance(before, int) and part in _TAGGED:  # which operation, not a key
            model = _TAGGED[part]
        else:
            path += f".{part}" if several or number != 0 else ""
            model = Tiles if before == "tiles" else model
        before = part
    return path, model
