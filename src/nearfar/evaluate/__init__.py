"""What a frozen encoder is worth: features extracted once, then measured by the evaluators, a file
each. Adding one: its file, a line here, a line in the changelog.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from nearfar.core.errors import UserError
from nearfar.core.own import WANT, import_own, is_own

if TYPE_CHECKING:
    from nearfar.evaluate.base import Evaluator

_DECLARED = ("name", "title", "needs", "main")

# in the order of their measurements
EVALUATORS: Mapping[str, str] = MappingProxyType(
    {
        "linear": "nearfar.evaluate.linear:Linear",
        "knn": "nearfar.evaluate.knn:KNN",
        "few_label": "nearfar.evaluate.few_label:FewLabel",
        "retrieval": "nearfar.evaluate.retrieval:Retrieval",
        "head": "nearfar.evaluate.head:Head",
        "classifier": "nearfar.evaluate.trained_classifier:TrainedClassifier",
    }
)


def evaluator_class(name: str, asked_by: str = "evaluate.probes") -> type["Evaluator"]:
    """The class of an evaluator in the table, or your own by the name `module:Class`; messages name
    the setting or flag that it is `asked_by`.

    Raises KeyError: neither; UserError: your module cannot be imported, or holds no such evaluator.
    """
    if name not in EVALUATORS:
        return _own(name, asked_by)
    module, _, attribute = EVALUATORS[name].partition(":")
    found: type[Evaluator] = getattr(import_module(module), attribute)
    return found


def choosable() -> list[str]:
    """The names that evaluate.probes may hold, beside your own."""
    return [name for name in EVALUATORS if evaluator_class(name).when != "if_present"]


def measured_by_default() -> list[str]:
    """What evaluate.probes is where it is not given."""
    return [name for name in EVALUATORS if evaluator_class(name).when == "by_default"]


def _own(name: str, asked_by: str) -> type["Evaluator"]:
    if not is_own(name):
        raise KeyError(name)
    from nearfar.evaluate.base import Evaluator

    found = import_own(name, asked_by)
    if not (isinstance(found, type) and issubclass(found, Evaluator)):
        raise UserError(f"{asked_by}: {name} is not a subclass of Evaluator; {WANT}")
    if missing := [part for part in _DECLARED if not hasattr(found, part)]:
        raise UserError(
            f"{asked_by}: {name} has no {', '.join(missing)}, which an evaluator declares"
        )
    if found.run is Evaluator.run:
        raise UserError(f"{asked_by}: {name} has no run(context), which measures")
    return found
