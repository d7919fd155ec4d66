"""What a person or a program asks for, as sections of a configuration and facts of the call."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Dataset

from nearfar.config.loading import Sections, merge, parse_override, read_toml
from nearfar.core.errors import ConfigError, UserError

Data = str | Path | Dataset[Any]
SMOKE = (("train", "epochs", 1), ("train", "steps_per_epoch", 2), ("schedule", "warmup_epochs", 0))


@dataclass(frozen=True)
class Request:
    """`sections` hold no method name and no seed where several methods and seeds are asked for."""

    data: Data
    sections: Sections
    out: Path | None
    resume: bool
    force: bool
    command: str
    module: nn.Module | None = None

    @property
    def where(self) -> str:
        """What an error in the configuration is headed by."""
        return "configuration"


def make_request(
    data: Data,
    *,
    encoder: str | nn.Module | None = None,
    recipe: str | Path | None = None,
    defaults: Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    smoke: bool = False,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    command: str | None = None,
) -> Request:
    """Layers, each over the one before: defaults, the recipe's file, flags ("train.epochs": 10),
    `--set` texts, smoke.

    UserError: an unreadable recipe, a malformed override, a setting that DATA is instead.
    """
    if resume and force:
        raise UserError("want either --resume (continue) or --force (replace), got both")
    base = read_toml(_recipe_file(recipe)) if recipe is not None else {}
    usual = [(*_section_and_key(path), value) for path, value in (defaults or {}).items()]
    asked = [
        (section, key, value) for section, key, value in usual if key not in base.get(section, {})
    ]
    asked += [
        (*_section_and_key(path), value)
        for path, value in (flags or {}).items()
        if value is not None
    ]
    overrides = [parse_override(text) for text in settings]
    if any((section, key) == ("data", "source") for section, key, _ in [*asked, *overrides]):
        raise ConfigError(
            ["data.source: is the command's first argument, DATA; leave it out of the settings"]
        )
    source = str(data) if isinstance(data, str | Path) else "<Dataset>"
    asked.append(("data", "source", source))
    if isinstance(encoder, str):
        asked.append(("encoder", "name", encoder))
    asked += overrides
    if smoke:
        asked += SMOKE
        if merge(base, asked).get("classifier", {}).get("kind") is not None:
            asked.append(("classifier", "epochs", 1))
    module = encoder if isinstance(encoder, nn.Module) else None
    folder = Path(out) if out is not None else None
    line = command or shlex.join(["nearfar", *sys.argv[1:]])
    return Request(data, merge(base, asked), folder, resume, force, line, module)


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
