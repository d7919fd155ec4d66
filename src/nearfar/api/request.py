"""What a person or a program asks for, as sections of a configuration and how the run folder is to
be used.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Dataset

from nearfar.api.smoke import smoked, without_weights
from nearfar.config.loading import Sections, merge
from nearfar.config.models import RunConfig
from nearfar.config.recipes import Recipe, find_recipe
from nearfar.core.errors import ConfigError, DataError, UserError
from nearfar.core.progress import Progress
from nearfar.data.listing import Listing
from nearfar.experiment.budget import Budget
from nearfar.experiment.resolve import resolve
from nearfar.experiment.setup import Setup
from nearfar.methods import name_of
from nearfar.methods.base import Method
from nearfar.run_folder.records import UNTRAINED

Data = str | Path | Dataset[Any]


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

    `recipe` is already in `sections`; `recipes` are compared, each by its name, and `sections` go
    over each of them.
    """

    data: Data
    sections: Sections
    place: Place
    command: str
    module: nn.Module | None = None
    given: frozenset[str] = frozenset()
    budget: Budget | None = None
    recipe: Recipe | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    smoke: bool = False

    @property
    def group_by(self) -> str | None:
        """UserError: recipes that are compared say it differently."""
        if not self.recipes:
            return _group_by(self.sections)
        asked = {name: _group_by(self.sections_of(name)) for name in self.recipes}
        if len(set(asked.values())) > 1:
            told = ", ".join(f"{name} has {by or 'none'}" for name, by in asked.items())
            raise UserError(f"data.group_by: want one for all, but {told}; give it by --group-by")
        return next(iter(asked.values()))

    def sections_of(self, name: str) -> Sections:
        """A compared recipe, and what was asked for over it."""
        merged = merge(self.recipes[name].sections, _flat(self.sections))
        merged = _with_typed_start(merged, self.given)
        return smoked(merged, self.given) if self.smoke else merged

    def recipe_of(self, method: str) -> str | None:
        """The recipe of nearfar's that a run of this method is called by: none where another method
        than the recipe's was asked for.
        """
        if self.recipe is None or not self.recipe.packaged or self.recipe.method != method:
            return None
        return self.recipe.name

    def setup(
        self, config: RunConfig, listing: Listing, device: torch.device, recipe: str | None = None
    ) -> Setup:
        """Every default chosen for these data, as a run of `recipe`. DataError or ConfigError: the
        two do not fit.
        """
        module, smoke = self.module, self.smoke
        return resolve(config, listing, device, module=module, recipe=recipe, smoke=smoke)

    def say_beginning(self, title: str, progress: Progress) -> None:
        """Above the plan: what begins, and which weights --smoke leaves out."""
        progress.say(title)
        asked = [*([self.recipe] if self.recipe else []), *self.recipes.values()]
        for recipe in asked if self.smoke else []:
            if without_weights(recipe.sections, self.given):
                progress.say(
                    f"  smoke      new weights for {recipe.name} instead of those that would be"
                    " downloaded; --pretrained tries these too"
                )

    @contextmanager
    def locating(self, name: str | None = None) -> Iterator[None]:
        """Within it an error about a key that a recipe's file holds (of those that are compared the
        one of that name) says where: file and line.
        """
        recipe = self.recipes.get(name, self.recipe) if name is not None else self.recipe
        if recipe is None:
            yield
            return
        try:
            yield
        except ConfigError as error:
            problems = [recipe.located(problem, self.given) for problem in error.problems]
            raise ConfigError(problems) from error
        except DataError as error:
            # what begins with "data" may be a folder of that name
            located = recipe.located(str(error), self.given, whole_sections=False)
            raise DataError(located) from error


def make_request(
    data: Data,
    settings: Mapping[str, Any],
    *,
    place: Place,
    usual: Mapping[str, Any] | None = None,
    recipe: str | Path | None = None,
    recipes: Sequence[str | Path] = (),
    encoder: str | nn.Module | None = None,
    smoke: bool = False,
    budget: Budget | None = None,
    command: str,
) -> Request:
    """Layers, each over the one before: the `usual` settings, the recipe's file, `settings`
    ("train.epochs": 10; None: nothing asked), smoke. `command`: how it was asked for, as
    results.json says it.

    UserError: no such recipe, a malformed setting, a setting that DATA is instead, epochs beside a
    budget, two of `recipes` with one name.
    """
    if place.resume and place.force:
        raise UserError("want either --resume (continue) or --force (replace), got both")
    found = find_recipe(recipe) if recipe is not None else None
    base = {name: dict(values) for name, values in found.sections.items()} if found else {}
    for path, value in (usual or {}).items():
        section, key = _section_and_key(path)
        base.setdefault(section, {}).setdefault(key, value)
    wanted = _wanted(data, settings, encoder)
    asked = [(*_section_and_key(path), value) for path, value in wanted.items()]
    given = frozenset(wanted)
    sections = _with_typed_start(merge(base, asked), given)
    module = encoder if isinstance(encoder, nn.Module) else None
    if budget is not None and (smoke or "train.epochs" in wanted):
        which = "--smoke" if smoke else "--epochs"
        raise UserError(f"--minutes decides the epochs; leave out either --minutes or {which}")
    return Request(
        data,
        smoked(sections, given) if smoke and not recipes else sections,
        place,
        command,
        module,
        given,
        budget,
        found,
        _by_name(recipes),
        smoke,
    )


def _by_name(recipes: Sequence[str | Path]) -> dict[str, Recipe]:
    """UserError: two with one name, which would share a folder, or the name of the floor."""
    found: dict[str, Recipe] = {}
    for recipe in map(find_recipe, recipes):
        if recipe.name in (*found, UNTRAINED):
            which = "one is" if recipe.name == UNTRAINED else "two are"
            raise UserError(f"--recipes: {which} called {recipe.name}; name the file otherwise")
        found[recipe.name] = recipe
    return found


def _with_typed_start(sections: Sections, given: Collection[str]) -> Sections:
    """Without a recipe's published weights where a file was typed instead, and the reverse."""
    encoder = dict(sections.get("encoder", {}))
    for typed, other in (("weights", "pretrained"), ("pretrained", "weights")):
        wanted = encoder.get(typed) and f"encoder.{typed}" in given
        if wanted and f"encoder.{other}" not in given:
            encoder.pop(other, None)
    return sections | {"encoder": encoder} if encoder else sections


def _group_by(sections: Sections) -> str | None:
    found: str | None = sections.get("data", {}).get("group_by")
    return found


def _flat(sections: Sections) -> list[tuple[str, str, Any]]:
    return [(name, key, value) for name, part in sections.items() for key, value in part.items()]


def _wanted(
    data: Data, settings: Mapping[str, Any], encoder: str | nn.Module | None
) -> dict[str, Any]:
    """What was typed, by its place in the configuration."""
    wanted = {path: value for path, value in settings.items() if value is not None}
    if isinstance(encoder, str):
        wanted.setdefault("encoder.name", encoder)
    if "data.source" in wanted:
        raise ConfigError(
            ["data.source: is the command's first argument, DATA; leave it out of the settings"]
        )
    return wanted | {"data.source": str(data) if isinstance(data, str | Path) else "<Dataset>"}


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


def _section_and_key(path: str) -> tuple[str, str]:
    section, dot, key = path.partition(".")
    if not dot:
        raise UserError(f'{path}: want a setting as "section.key", for example "train.batch_size"')
    return section, key
