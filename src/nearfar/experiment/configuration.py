"""The check of a configuration before any data are read: every name and bound, by what the layers
below know.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nearfar.config.loading import Known, Sections, build_config
from nearfar.config.models import MethodConfig, RunConfig
from nearfar.core.errors import ConfigError
from nearfar.methods import METHODS, is_own, method_class
from nearfar.nn.building import encoder_names
from nearfar.views.reading import read_policy


def check_config(sections: Sections, where: str = "configuration") -> RunConfig:
    """The checked configuration. ConfigError lists all problems.

    A method named `module:Class` is imported.
    """
    name = sections.get("method", {}).get("name")
    return build_config(sections, known_names(name if is_own(name) else None), where)


def known_names(own: str | None = None) -> Known:
    """What a configuration may name; `own` is a method of the user's own, `module:Class`."""

    def config_of(name: str) -> Callable[[], type[MethodConfig]]:
        return lambda: method_class(name).Config

    return Known(
        methods={name: config_of(name) for name in (*METHODS, *([own] if own else []))},
        fewest_views=lambda name, config: method_class(name).views_needed(config),
        policy_problems=_policy_problems,
        encoders=encoder_names,
    )


def _policy_problems(policy: str | Mapping[str, Any]) -> Sequence[str]:
    try:
        read_policy(policy)
    except ConfigError as error:
        return error.problems
    return []
