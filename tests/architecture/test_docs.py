"""README and docs say what the code does: generated parts are current, code blocks run."""

import os
import re
from pathlib import Path

import pytest
from method_page import page as methods_page

from nearfar.config.keys import as_markdown
from nearfar.config.models import SECTIONS
from nearfar.methods import METHODS, method_class
from nearfar.views.description import as_markdown as policies_as_markdown

ROOT = Path(__file__).parents[2]
HEAD = """# Configuration

Every key of a run, generated from the models. Set one with `--set SECTION.KEY=VALUE`, or write sections into a TOML
file and give it with `--recipe FILE.toml`; flags and `--set` go over the file. "unset" means that nearfar chooses for
the data at hand, or does without; what it chose stands in the plan and in `run.toml`. Unknown keys are errors.

"""


def test_the_page_of_the_configuration_is_current():
    methods = {f"method] of {name}": method_class(name).Config for name in METHODS}
    text = (
        as_markdown(SECTIONS)
        + "\n"
        + "\n".join(
            as_markdown({"method": config}).replace(
                "## [method]", f'## [method] with name = "{title.split()[-1]}"'
            )
            for title, config in methods.items()
        )
    )
    path = ROOT / "docs" / "config.md"
    if os.environ.get("NEARFAR_SNAPSHOT") == "write":
        path.write_text(HEAD + text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == HEAD + text


def test_the_table_of_policies_is_current():
    path = ROOT / "docs" / "views.md"
    text = path.read_text(encoding="utf-8")
    before, opening, rest = text.partition("<!-- policies -->\n")
    table, closing, after = rest.partition("<!-- /policies -->\n")
    assert opening and closing
    if os.environ.get("NEARFAR_SNAPSHOT") == "write":
        table = policies_as_markdown()
        path.write_text(before + opening + table + closing + after, encoding="utf-8")
    assert table == policies_as_markdown()
    assert table.count("\n") == 2 + 19


def test_the_page_of_the_methods_is_current():
    path = ROOT / "docs" / "methods.md"
    if os.environ.get("NEARFAR_SNAPSHOT") == "write":
        path.write_text(methods_page(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == methods_page()


def python_blocks() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        (page.name, block)
        for page in pages
        for block in re.findall(
            r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S
        )
    ]


@pytest.mark.parametrize(("page", "block"), python_blocks())
def test_python_in_the_docs_runs(page, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, page, "exec"), {})


def test_there_are_blocks_to_run():
    assert len(python_blocks()) >= 2


def test_the_readme_s_commands_are_one_line_each():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for mark in ("demo", "test"):
        assert len(re.findall(rf"<!-- {mark} -->\n```sh\n[^\n]+\n```", text)) == 1
