"""README and docs say what the code does: generated parts are current, code blocks run."""

import re
from pathlib import Path

import generate
import pytest

ROOT = Path(__file__).parents[2]


def test_the_generated_pages_are_current():
    """Else: python docs/generate.py"""
    assert generate.stale() == []
    assert {path.name for path in generate.generated()} == {"config.md", "methods.md", "views.md"}


def test_the_generator_sees_every_policy_and_keeps_what_is_written_by_hand():
    assert generate.policies_table().count("\n") == 2 + 21
    page = f"by hand\n{generate.OPENING}old\n{generate.CLOSING}and after\n"
    before, table, after = re.split("<!-- /?policies -->\n", generate.views_page(page))
    assert (before, table, after) == ("by hand\n", generate.policies_table(), "and after\n")
    with pytest.raises(SystemExit, match=r"views\.md"):
        generate.views_page("a page without the two marks")


def test_a_page_that_is_not_current_is_named_and_written_anew(tmp_path, monkeypatch, capsys):
    for page in ("config.md", "views.md"):
        (tmp_path / page).write_text((ROOT / "docs" / page).read_text(encoding="utf-8"))
    monkeypatch.setattr(generate, "DOCS", tmp_path)  # methods.md is not there
    monkeypatch.setattr(generate, "methods_page", lambda: "# Methods\n")
    assert generate.main(["--check"]) == 1
    assert "docs/methods.md is not current: python docs/generate.py" in capsys.readouterr().err
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
