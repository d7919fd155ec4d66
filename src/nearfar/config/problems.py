"""What is wrong with a value of a configuration, in words: the form to type, and what came."""

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from types import MappingProxyType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic_core import ErrorDetails

from nearfar.config.renamed import KEYS
from nearfar.config.section import Section

# pydantic's names of its own errors
FORMS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "a whole number"),
        **dict.fromkeys(("float_type", "float_parsing"), "a number"),
        **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
        "string_type": "text in quotes",
        **dict.fromkeys(("tuple_type", "list_type"), "a list in brackets"),
    }
)

# what to do instead of asking for 0 of these
_NOTHING_TRAINED = "; --method frozen measures given weights and trains nothing"
INSTEAD_OF_0: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("train.epochs", "optimizer.lr"), _NOTHING_TRAINED)
)


def nearest(name: str, names: Sequence[str]) -> str:
    """' (did you mean "x"?)', or nothing where no name is near."""
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def typed(text: str) -> Any:
    """The value of `--set KEY=text`: TOML, or a number such as .5, else a plain string."""
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(f"value = {text}")["value"]
    with suppress(ValueError):
        return float(text)
    return text.strip()


def with_lists(values: Mapping[str, Any], model: type[Section]) -> dict[str, Any]:
    """The values, and where a list is wanted also those typed as `0.5,0.5,.5` or `linear`."""
    return {
        key: _as_list(value) if _items(model, key) and isinstance(value, str | float) else value
        for key, value in values.items()
    }


def problem(
    section: str, details: ErrorDetails, values: Mapping[str, Any], model: type[Section]
) -> str:
    """One thing that is wrong in a section: the key, what is wanted, what came."""
    path = ".".join([section, *(str(part) for part in details["loc"])])
    key = str(details["loc"][0]) if details["loc"] else ""
    if items := _items(model, key):
        path = f"{section}.{key}"
        if (form := _form_of_list(path, items, details["type"])) is not None:
            return f"{path}: want {form}, got {values[key]!r}"
    context = details.get("ctx", {})
    got = details["input"]
    match details["type"]:
        case "extra_forbidden":
            if (new := KEYS.get((section, key))) in model.model_fields:
                return f"{path}: is called {section}.{new} now"
            return f"{path}: unknown key{nearest(key, list(model.model_fields))}"
        case "missing":
            return f"{path}: is missing"
        case "greater_than":
            want = f"more than {context['gt']}"
        case "greater_than_equal":
            want = f"at least {context['ge']}"
        case "less_than":
            want = f"less than {context['lt']}"
        case "less_than_equal":
            want = f"at most {context['le']}"
        case "literal_error":
            want = f"one of {context['expected']}"
        case "value_error":  # a validator's own words, which name the field
            return f"{path}.{details['msg'].removeprefix('Value error, ')}"
        case other:
            want = FORMS.get(other) or details["msg"].removeprefix("Input should be ")
            if isinstance(got, str) and not isinstance(typed(got), str):
                want += " without quotes"
    return f"{path}: want {want}, got {got!r}{INSTEAD_OF_0.get(path, '') if got == 0 else ''}"


def _as_list(value: str | float) -> list[Any]:
    text = value.strip() if isinstance(value, str) else repr(value)
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return [typed(part) for part in text.split(",")]


def _items(model: type[Section], key: str) -> tuple[Any, ...]:
    """The types of a field's items where it is a tuple, or a tuple or None; else nothing."""
    field = model.model_fields.get(key)
    kind = field.annotation if field is not None else None
    union = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return next((get_args(part) for part in union if get_origin(part) is tuple), ())


def _form_of_list(path: str, items: tuple[Any, ...], error: str) -> str | None:
    """How the whole list is typed, where it or an item of it has the wrong form."""
    if error not in FORMS and error not in ("missing", "too_short", "too_long"):
        return None
    if Ellipsis not in items:
        example = ",".join(["0.5"] * len(items))
        return f"{len(items)} numbers, such as --set {path}=[{example}]"
    if items[0] is float:
        return f"a list of numbers, such as --set {path}=[0.6,0.75,0.9]"
    return f"a list of names, such as --set {path}=[linear,knn]"
