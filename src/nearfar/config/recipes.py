"""Recipes: a whole experiment as a TOML file, by the name of one that comes with nearfar or from a
file of the user's; its header says what to type and what to expect.
"""

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from nearfar.config.loading import Sections, parse_toml, read_text
from nearfar.config.problems import nearest
from nearfar.core.errors import ConfigError, UserError

FOLDER = Path(__file__).parents[1] / "recipes"
SUFFIX = ".toml"
_FACT = re.compile(r"# ([a-z]+): (.+)")
_MORE = "#   "  # goes on with the fact above
_PATH = re.compile(r"([\w-]+)(?:\.([\w-]+))?[^:]*: ")  # "train.epochs: want ...", of a problem


@dataclass(frozen=True)
class Recipe:
    """`name` is the file's, without its ending; `shown` is how messages call the file."""

    name: str
    shown: str
    text: str
    sections: Sections
    packaged: bool  # it comes with nearfar

    @property
    def header(self) -> dict[str, str]:
        """What is said of it above its settings: source, command, expected, hardware, ..."""
        return read_header(self.text)

    @property
    def method(self) -> str | None:
        """The method that it names."""
        name = self.sections.get("method", {}).get("name")
        return name if isinstance(name, str) else None

    def located(
        self, problem: str, given: Collection[str] = (), *, whole_sections: bool = True
    ) -> str:
        """The problem with file and line before it, where it is one of a key of this file, or with
        `whole_sections` of a section; `given` are the keys that were typed over it
        ("train.epochs").
        """
        path = _PATH.match(problem)
        if path is None or f"{path[1]}.{path[2]}" in given:
            return problem
        if path[2] is None and not whole_sections:
            return problem
        line = line_of(self.text, path[1], path[2])
        return problem if line is None else f"{self.shown}:{line}: {problem}"


def recipe_names() -> list[str]:
    """Of those that come with nearfar."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def list_recipes() -> list[dict[str, str]]:
    """Name, method and header of each recipe that comes with nearfar."""
    found = [find_recipe(name) for name in recipe_names()]
    return [
        {"name": recipe.name, "method": recipe.method or "", **recipe.header} for recipe in found
    ]


def find_recipe(asked: str | Path) -> Recipe:
    """The recipe of that name, or of that file. UserError: there is none, or it is no TOML."""
    name = str(asked)
    if name.endswith(SUFFIX):
        return _read(Path(name).expanduser(), shown=name, packaged=False)
    if name not in (names := recipe_names()):
        hint = nearest(name, names)
        raise UserError(
            f'--recipe: no recipe "{name}"{hint}; want a name that `nearfar recipes` lists, or a'
            " TOML file such as recipe.toml"
        )
    path = FOLDER / f"{name}{SUFFIX}"
    return _read(path, shown=str(path), packaged=True)


def _read(path: Path, *, shown: str, packaged: bool) -> Recipe:
    text = read_text(path)
    empty = Recipe(path.name.removesuffix(SUFFIX), shown, text, {}, packaged)
    try:
        return replace(empty, sections=parse_toml(text, shown))
    except ConfigError as error:
        raise ConfigError([empty.located(problem) for problem in error.problems]) from error


def read_header(text: str) -> dict[str, str]:
    """The facts of the comment that a recipe begins with: lines `# source: ...`, and below them
    `#   ...` that go on with it.
    """
    found: dict[str, str] = {}
    key = None
    for line in text.split("\n"):
        if not line.startswith("#"):
            break
        if (fact := _FACT.fullmatch(line)) is not None:
            key, found[fact[1]] = fact[1], fact[2]
        elif key is not None and line.startswith(_MORE):
            found[key] += f" {line[1:].strip()}"
        else:
            key = None
    return found


def line_of(text: str, section: str, key: str | None) -> int | None:
    """The line of a TOML text on which a key begins, or its section where `key` is None; None where
    it has no such key.

    It is the line after the longest beginning of the text that is TOML and lacks the key.
    """
    if not _holds(text, section, key):
        return None
    lines = text.split("\n")
    return 1 + max(
        n for n in range(len(lines)) if _holds("\n".join(lines[:n]), section, key) is False
    )


def _holds(text: str, section: str, key: str | None) -> bool | None:
    """Whether the text has the key; None: it is no TOML."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    found = tree.get(section)
    return found is not None if key is None else isinstance(found, dict) and key in found
