"""README and docs say what the code does: generated parts are current, code blocks run."""

import re
from pathlib import Path

import generate
import pytest

ROOT = Path(__file__).parents[2]


def test_the_generated_pages_are_current():
    """Else: python docs/generate.py"""
    assert generate.stale() == []
    assert {path.name for path in generate.generated()} == {
        "config.md",
        "methods.md",
        "recipes.md",
        "views.md",
        "losses.md",
        "gradients.svg",
    }


def test_the_generator_sees_every_policy_and_keeps_what_is_written_by_hand(tmp_path, monkeypatch):
    assert generate.policies_table().count("\n") == 2 + 21
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("by hand\n<!-- cats -->\nold\n<!-- /cats -->\nand after\n", encoding="utf-8")
    assert generate.with_table("page.md", "cats", "new\n") == (
        "by hand\n<!-- cats -->\nnew\n<!-- /cats -->\nand after\n"
    )
    with pytest.raises(SystemExit, match=r"page\.md: wants a table between '<!-- dogs"):
        generate.with_table("page.md", "dogs", "new\n")


def test_a_page_that_is_not_current_is_named_and_written_anew(tmp_path, monkeypatch, capsys):
    for page in ("config.md", "recipes.md", "views.md", "losses.md", "gradients.svg"):
        (tmp_path / page).write_text((ROOT / "docs" / page).read_text(encoding="utf-8"))
    monkeypatch.setattr(generate, "DOCS", tmp_path)  # methods.md is not there
    monkeypatch.setattr(generate, "methods_page", lambda: "# Methods\n")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/methods.md is not current: python docs/generate.py\n"
    assert not (tmp_path / "methods.md").exists()
    assert generate.main([]) == 0
    assert (tmp_path / "methods.md").read_text() == "# Methods\n"
    assert generate.main(["--check"]) == 0
    assert generate.main(["--chekc"]) == 2


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
