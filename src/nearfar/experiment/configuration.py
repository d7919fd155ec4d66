"""The check of a configuration before any data are read: every name and bound, by what the layers
below know.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nearfar.config.loading import Known, Sections, build_config
from nearfar.config.models import MethodConfig, RunConfig
from nearfar.core.errors import ConfigError
from nearfar.core.own import is_own
from nearfar.evaluate import choosable, evaluator_class
from nearfar.methods import FROZEN, METHODS, method_class
from nearfar.nn.building import encoder_names
from nearfar.views.reading import read_policy


def check_config(sections: Sections, where: str = "configuration") -> RunConfig:
    """The checked configuration. ConfigError lists all problems.

    A method and evaluators named `module:Class` are imported.
    """
    name, probes = sections.get("method", {}).get("name"), _own_probes(sections)
    for probe in probes:
        evaluator_class(probe)
    return build_config(sections, known_names(name if is_own(name) else None, probes), where)


def _own_probes(sections: Sections) -> list[str]:
    """The evaluators of the user's own that evaluate.probes names."""
    asked = sections.get("evaluate", {}).get("probes")
    return [name for name in asked if is_own(name)] if isinstance(asked, list | tuple) else []


def known_names(own: str | None = None, own_probes: Sequence[str] = ()) -> Known:
    """What a configuration may name; `own` is a method of the user's own, `module:Class`, and
    `own_probes` are such evaluators.
    """

    def config_of(name: str) -> Callable[[], type[MethodConfig]]:
        return lambda: method_class(name).Config

    return Known(
        methods={name: config_of(name) for name in (*METHODS, FROZEN, *([own] if own else []))},
        fewest_views=lambda name, config: method_class(name).views_needed(config),
        policy_problems=_policy_problems,
        encoders=encoder_names,
        evaluators=lambda: [*choosable(), *own_probes],
        evaluator_config=lambda name: evaluator_class(name).Config,
    )


def _policy_problems(policy: str | Mapping[str, Any]) -> Sequence[str]:
    try:
        read_policy(policy)
    except ConfigError as error:
        return error.problems
    return []
