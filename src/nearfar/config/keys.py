"""Every key of the configuration with its default and meaning, read from the models."""

from typing import NamedTuple

from nearfar.config.models import SECTIONS
from nearfar.config.section import Section


class Key(NamedTuple):
    path: str  # "train.epochs"
    default: str  # as TOML, "unset" where nearfar chooses or does without
    text: str


def all_keys() -> list[Key]:
    """The keys of all sections but [method], in their order."""
    return [key for section, model in SECTIONS.items() for key in keys_of(section, model)]


def keys_of(section: str, model: type[Section]) -> list[Key]:
    """The keys of one section."""
    return [
        Key(
            f"{section}.{name}",
            shown(field.default, required=field.is_required()),
            field.description or "",
        )
        for name, field in model.model_fields.items()
    ]


def shown(default: object, *, required: bool = False) -> str:
    """A value, such as a default, as it is typed in TOML; of none "unset"."""
    if required:
        return "required"
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()
    return repr(list(default) if isinstance(default, tuple) else default).replace("'", '"')
