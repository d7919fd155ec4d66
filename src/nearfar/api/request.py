"""What a person or a program asks for, as sections of a configuration and how the run folder is to
be used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Dataset

from nearfar.config.loading import Sections, merge, read_toml
from nearfar.core.errors import ConfigError, UserError
from nearfar.experiment.budget import Budget
from nearfar.methods import name_of
from nearfar.methods.base import Method

Data = str | Path | Dataset[Any]
SMOKE = (("train", "epochs", 1), ("train", "steps_per_epoch", 2), ("schedule", "warmup_epochs", 0))


@dataclass(frozen=True)
class Place:
    """Where the run goes, and what may stand there."""

    out: Path | None = None
    resume: bool = False
    force: bool = False


@dataclass(frozen=True)
class Request:
    """`sections` hold no method name and no seed where several methods and seeds are asked for;
    `given` are the settings that the user typed, "optimizer.lr", other than a recipe's.
    """

    data: Data
    sections: Sections
    place: Place
    command: str
    module: nn.Module | None = None
    given: frozenset[str] = frozenset()
    budget: Budget | None = None

    @property
    def group_by(self) -> str | None:
        found: str | None = self.sections.get("data", {}).get("group_by")
        return found


def make_request(
    data: Data,
    settings: Mapping[str, Any],
    *,
    place: Place,
    usual: Mapping[str, Any] | None = None,
    recipe: str | Path | None = None,
    encoder: str | nn.Module | None = None,
    smoke: bool = False,
    budget: Budget | None = None,
    command: str,
) -> Request:
    """Layers, each over the one before: the `usual` settings, the recipe's file, `settings`
    ("train.epochs": 10; None: nothing asked), smoke. `command`: how it was asked for, as
    results.json says it.

    UserError: an unreadable recipe, a malformed setting, a setting that DATA is instead, epochs
    beside a budget.
    """
    if place.resume and place.force:
        raise UserError("want either --resume (continue) or --force (replace), got both")
    base = read_toml(_recipe_file(recipe)) if recipe is not None else {}
    for path, value in (usual or {}).items():
        section, key = _section_and_key(path)
        base.setdefault(section, {}).setdefault(key, value)
    wanted = {path: value for path, value in settings.items() if value is not None}
    if isinstance(encoder, str):
        wanted.setdefault("encoder.name", encoder)
    if "data.source" in wanted:
        raise ConfigError(
            ["data.source: is the command's first argument, DATA; leave it out of the settings"]
        )
    wanted["data.source"] = str(data) if isinstance(data, str | Path) else "<Dataset>"
    asked = [(*_section_and_key(path), value) for path, value in wanted.items()]
    if smoke:
        asked += SMOKE
        if merge(base, asked).get("classifier", {}).get("kind") is not None:
            asked.append(("classifier", "epochs", 1))
    module = encoder if isinstance(encoder, nn.Module) else None
    if budget is not None and (smoke or "train.epochs" in wanted):
        which = "--smoke" if smoke else "--epochs"
        raise UserError(f"--minutes decides the epochs; leave out either --minutes or {which}")
    return Request(data, merge(base, asked), place, command, module, frozenset(wanted), budget)


def name_of_method(method: str | type[Method] | None) -> str | None:
    return method if method is None or isinstance(method, str) else name_of(method)


def shown(data: Data) -> str:
    """DATA as it stands in a call from Python."""
    return repr(str(data)) if isinstance(data, str | Path) else type(data).__name__


def make_fabric() -> Fabric:
    """One device: the accelerator where there is one, else the CPU. The encoder owns autocast, not
    Fabric.
    """
    fabric = Fabric(accelerator="auto", devices=1, precision="32-true")
    fabric.launch()
    return fabric


def _recipe_file(recipe: str | Path) -> Path:
    path = Path(recipe).expanduser()
    if path.suffix != ".toml":
        raise UserError(f"--recipe: want a TOML file such as recipe.toml, got {recipe}")
    return path


def _section_and_key(path: str) -> tuple[str, str]:
    section, dot, key = path.partition(".")
    if not dot:
        raise UserError(f'{path}: want a setting as "section.key", for example "train.batch_size"')
    return section, key
