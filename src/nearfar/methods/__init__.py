"""The methods, a file each. Adding one: its file, a line here, a line in the changelog.

`METHODS` are those that learn; beside them stands `FROZEN`, of which nothing is trained.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from nearfar.config.models import MethodConfig
from nearfar.core.errors import UserError
from nearfar.core.own import WANT, import_own, is_own
from nearfar.methods.base import Method, OptimizerDefaults

_DECLARED = ("Config", "needs_labels", "default_views", "optimizer", "paper")

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "cross_entropy": "nearfar.methods.cross_entropy:CrossEntropy",
        "supcon": "nearfar.methods.supcon:SupCon",
        "joint": "nearfar.methods.joint:Joint",
        "simclr": "nearfar.methods.simclr:SimCLR",
        "relational": "nearfar.methods.relational:Relational",
        "margin": "nearfar.methods.margin:Margin",
        "triplet": "nearfar.methods.triplet:Triplet",
        "n_pairs": "nearfar.methods.n_pairs:NPairs",
        "max_margin": "nearfar.methods.max_margin:MaxMargin",
        "rotation": "nearfar.methods.rotation:Rotation",
        "relative_position": "nearfar.methods.relative_position:RelativePosition",
        "jigsaw": "nearfar.methods.jigsaw:Jigsaw",
        "counting": "nearfar.methods.counting:Counting",
        "colorization": "nearfar.methods.colorization:Colorization",
        "moco": "nearfar.methods.moco:MoCo",
        "supcon_moco": "nearfar.methods.supcon_moco:SupConMoCo",
        "byol": "nearfar.methods.byol:BYOL",
        "swav": "nearfar.methods.swav:SwAV",
        "simsiam": "nearfar.methods.simsiam:SimSiam",
        "barlow_twins": "nearfar.methods.barlow_twins:BarlowTwins",
        "vicreg": "nearfar.methods.vicreg:VICReg",
        "nnclr": "nearfar.methods.nnclr:NNCLR",
        "dino": "nearfar.methods.dino:DINO",
    }
)

FROZEN = "frozen"
_FROZEN = "nearfar.methods.frozen:Frozen"


def method_class(name: str) -> type[Method]:
    """The class of a method in the table, of `FROZEN`, or your own by the name `module:Class`.

    Raises KeyError: none of them; UserError: your module cannot be imported, or holds no such
    method.
    """
    if name not in (*METHODS, FROZEN):
        return _own(name)
    module, _, attribute = METHODS.get(name, _FROZEN).partition(":")
    found: type[Method] = getattr(import_module(module), attribute)
    return found


def name_of(method: object) -> str:
    """`module:Class`, by which `method_class` finds it. UserError: it cannot, or `method` is no
    class.
    """
    if not isinstance(method, type):
        raise UserError(f"method: want a name, or a subclass of nearfar.Method, got {method!r}")
    name = f"{method.__module__}:{method.__qualname__}"
    if getattr(sys.modules.get(method.__module__), method.__qualname__, None) is not method:
        raise UserError(
            f"method: {name} cannot be found by its name; define it at the top of a module"
        )
    return name


def _own(name: str) -> type[Method]:
    if not is_own(name):
        raise KeyError(name)
    found = import_own(name, "method.name")
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"method.name: {name} is not a subclass of nearfar.Method; {WANT}")
    if missing := [part for part in _DECLARED if not hasattr(found, part)]:
        raise UserError(f"method.name: {name} has no {', '.join(missing)}, which a method declares")
    if found.step is Method.step:
        raise UserError(f"method.name: {name} has no step(batch), which returns the loss")
    if not (isinstance(found.Config, type) and issubclass(found.Config, MethodConfig)):
        raise UserError(
            f"method.name: {name}.Config: want a subclass of nearfar.MethodConfig, got"
            f" {found.Config!r}"
        )
    if not isinstance(found.optimizer, OptimizerDefaults):
        raise UserError(
            f"method.name: {name}.optimizer: want OptimizerDefaults(...), got {found.optimizer!r}"
        )
    return found
