"""Writes what the docs say of the code: `python docs/generate.py`, from anywhere; with `--check` it
only says which files are not current, and exits 1 if there are any.

docs/config.md, docs/methods.md, docs/recipes.md and docs/gradients.svg as a whole, the table of
policies in docs/views.md, and in docs/losses.md that of gradients.
"""

import sys
from pathlib import Path

import gradients
from method_page import keys_table, markdown_table
from method_page import page as methods_page
from recipe_page import page as recipes_page

from nearfar.config.models import SECTIONS, Section
from nearfar.methods import METHODS, method_class
from nearfar.views.description import described_policies

DOCS = Path(__file__).parent
CONFIG_HEAD = """# Configuration

All settings of a run; this page is generated from the code. Type a setting as `--set SECTION.KEY=VALUE`, for example
`--set train.epochs=50`, or write sections into a TOML file and give it with `--recipe FILE.toml` (or a name of
[recipes.md](recipes.md)); flags and `--set` override the file. A list is typed as `--set encoder.mean=[0.5,0.5,0.5]`, with or without the brackets. Where a default
is "unset", nearfar chooses a value for your data, or does without; what it chose is printed before training starts and
written to `run.toml`. A key that does not exist is an error.

"""


def generated() -> dict[Path, str]:
    """By file, what it should hold."""
    return {
        DOCS / "config.md": config_page(),
        DOCS / "methods.md": methods_page(),
        DOCS / "recipes.md": recipes_page(),
        DOCS / "views.md": with_table("views.md", "policies", policies_table()),
        DOCS / "losses.md": with_table(
            "losses.md", "gradients", markdown_table(*gradients.table())
        ),
        DOCS / "gradients.svg": gradients.figure(),
    }


def config_page() -> str:
    """A table for each section; [method] for each method."""
    sections = [_section(f"[{name}]", name, model) for name, model in SECTIONS.items()]
    methods = [
        _section(f'[method] with name = "{name}"', "method", method_class(name).Config)
        for name in METHODS
    ]
    return CONFIG_HEAD + "\n".join(sections + methods)


def _section(title: str, section: str, model: type[Section]) -> str:
    return f"## {title}\n\n{keys_table(section, model)}"


def with_table(page: str, name: str, table: str) -> str:
    """A page with its table of that name anew; what stands around it is written by hand."""
    opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, opened, rest = (DOCS / page).read_text(encoding="utf-8").partition(opening)
    _, closed, after = rest.partition(closing)
    if not (opened and closed):
        raise SystemExit(f"docs/{page}: wants a table between {opening!r} and {closing!r}")
    return before + opening + table + closing + after


def policies_table() -> str:
    return markdown_table(
        ["policy", "what happens to each view", "source"],
        [[f"`{policy.name}`", policy.summary, policy.source] for policy in described_policies()],
    )


def stale() -> list[str]:
    """Names of the files that are not current."""
    return [
        path.name
        for path, text in generated().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: python docs/generate.py [--check]", file=sys.stderr)
        return 2
    if arguments:
        old = stale()
        for name in old:
            print(f"docs/{name} is not current: python docs/generate.py", file=sys.stderr)
        return 1 if old else 0
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
