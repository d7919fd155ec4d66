"""Every key of the configuration with its default and meaning, read from the models."""

from typing import NamedTuple

from nearfar.config.models import SECTIONS, Section


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
            _shown(field.default, required=field.is_required()),
            field.description or "",
        )
        for name, field in model.model_fields.items()
    ]


def _shown(default: object, *, required: bool) -> str:
    if required:
        return "required"
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()
    return str(list(default)) if isinstance(default, tuple) else repr(default).replace("'", '"')
