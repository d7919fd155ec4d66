"""Classes of the user's own, by the name `module:Class`."""

from importlib import import_module
from typing import Any

from nearfar.core.errors import UserError

WANT = "want MODULE:CLASS, such as mine:Mine with a mine.py in the current folder"


def is_own(name: object) -> bool:
    """Whether it is such a name."""
    return isinstance(name, str) and ":" in name


def import_own(name: str, key: str) -> Any:
    """What the module holds by that name. UserError, which names the setting `key`: it cannot be
    imported.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever the user's module does as it is imported
        raise UserError(f"{key}: {name}: {type(error).__name__}: {error}; {WANT}") from error
