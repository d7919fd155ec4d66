"""What `nearfar methods` lists, from the classes and the policies themselves."""

from typing import Any

from nearfar.methods import FROZEN, METHODS, method_class
from nearfar.views.description import described_policies
from nearfar.views.policies import SMALL_UP_TO_PX, default_policy


def list_methods() -> list[dict[str, Any]]:
    """Name, needs_labels, views, views_up_to_40_px, summary, paper and settings of each method of
    the table, and of the one that trains nothing.
    """
    return [_facts(name) for name in (*METHODS, FROZEN)]


def list_policies() -> list[dict[str, str]]:
    """Name, summary and source of each named view policy."""
    return [policy._asdict() for policy in described_policies()]


def _facts(name: str) -> dict[str, Any]:
    kind = method_class(name)
    fields = kind.Config.model_fields
    return {
        "name": name,
        "needs_labels": kind.needs_labels,
        "views": kind.default_views if kind.Config.trains else None,
        "views_up_to_40_px": default_policy(kind.default_views, SMALL_UP_TO_PX)
        if kind.Config.trains
        else None,
        "summary": kind.Config.summary(),
        "paper": kind.paper,
        "settings": {
            key: {"default": field.default, "is": field.description}
            for key, field in fields.items()
        },
    }
