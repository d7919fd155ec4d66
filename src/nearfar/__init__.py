"""nearfar: representations learned by comparison, and measured honestly.

`nearfar.train`, `nearfar.compare` and `nearfar.load` do what the commands do; the modules `losses`,
`views`, `methods`, `evaluate` and `data` are the parts. Names are imported when they are first
used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_WHERE = {
    "Batch": "nearfar.core.types",
    "Comparison": "nearfar.api.compare",
    "DataFacts": "nearfar.core.types",
    "Encoder": "nearfar.nn.encoders",
    "Method": "nearfar.methods.base",
    "MethodConfig": "nearfar.config.models",
    "Model": "nearfar.api.model",
    "NearfarError": "nearfar.core.errors",
    "Run": "nearfar.api.train",
    "StepResult": "nearfar.core.types",
    "compare": "nearfar.api.compare",
    "encode_views": "nearfar.nn.encoders",
    "load": "nearfar.api.model",
    "train": "nearfar.api.train",
}
_MODULES = ("data", "evaluate", "losses", "methods", "views")

__all__ = [
    "Batch",
    "Comparison",
    "DataFacts",
    "Encoder",
    "Method",
    "MethodConfig",
    "Model",
    "NearfarError",
    "Run",
    "StepResult",
    "__version__",
    "compare",
    "data",
    "encode_views",
    "evaluate",
    "load",
    "losses",
    "methods",
    "train",
    "views",
]

if TYPE_CHECKING:
    from nearfar import data, evaluate, losses, methods, views
    from nearfar.api.compare import Comparison, compare
    from nearfar.api.model import Model, load
    from nearfar.api.train import Run, train
    from nearfar.config.models import MethodConfig
    from nearfar.core.errors import NearfarError
    from nearfar.core.types import Batch, DataFacts, StepResult
    from nearfar.methods.base import Method
    from nearfar.nn.encoders import Encoder, encode_views


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name in _MODULES:
        return import_module(f"nearfar.{name}")
    raise AttributeError(f"module 'nearfar' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
