"""What `nearfar methods` lists, from the classes themselves."""

import inspect
from typing import Any

from nearfar.methods import METHODS, method_class


def list_methods() -> list[dict[str, Any]]:
    """Name, needs_labels, views, summary, paper and settings of each method of the table."""
    return [_facts(name) for name in METHODS]


def _facts(name: str) -> dict[str, Any]:
    kind = method_class(name)
    fields = kind.Config.model_fields
    return {
        "name": name,
        "needs_labels": kind.needs_labels,
        "views": kind.default_views,
        "summary": (inspect.getdoc(kind.Config) or "").splitlines()[0],
        "paper": kind.paper,
        "settings": {key: {"default": field.default, "is": field.description} for key, field in fields.items()},
    }
