"""Recipes as files: their header, the line of a key, finding one, and that all of them have one
form.
"""

import tomllib

import pytest

from nearfar.config.recipes import (
    FOLDER,
    find_recipe,
    line_of,
    list_recipes,
    read_header,
    recipe_names,
)
from nearfar.core.errors import ConfigError, UserError

TEXT = """# source: a paper,
#   and its code
# command: nearfar train digits --recipe x

# settings: not of the header any more
[train]
epochs = 10

views.policy = "basic"
[optimizer]
# lr = 0.1
betas = [
  1,
  2,
]
lr = 0.2
[[views2.kinds]]
count = 1
"""


def test_a_header_is_facts_and_what_goes_on_with_them():
    assert read_header(TEXT) == {
        "source": "a paper, and its code",
        "command": "nearfar train digits --recipe x",
    }
    assert read_header("# a comment\n#   more of it\n# source: x\n") == {"source": "x"}
    assert read_header("") == {}


def test_a_key_is_found_on_the_line_on_which_it_begins():
    tomllib.loads(TEXT)
    expected = {
        ("train", "epochs"): 7,
        ("train", "views"): 9,  # a dotted key lies in the section above it
        ("optimizer", None): 10,
        ("optimizer", "betas"): 12,
        ("optimizer", "lr"): 16,
        ("views2", "kinds"): 17,
        ("optimizer", "momentum"): None,
        ("data", None): None,
    }
    assert {where: line_of(TEXT, *where) for where in expected} == expected
    assert line_of('a = {x = 1, y = 2}\nb = {x = """\ny = 1\n"""}\n', "b", "x") == 2


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match=r'no recipe "supcon-cifar1O" \(did you mean "supcon-cifar'):
        find_recipe("supcon-cifar1O")
    with pytest.raises(UserError, match="want a name that `nearfar recipes` lists, or a TOML file"):
        find_recipe("q")


def test_a_problem_of_the_file_says_where_and_one_that_was_typed_does_not(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    recipe = find_recipe(path)
    assert (recipe.name, recipe.packaged, recipe.method) == ("mine", False, None)
    problem = "optimizer.lr: want more than 0, got 0.2"
    assert recipe.located(problem) == f"{path}:16: {problem}"
    assert recipe.located(problem, {"optimizer.lr"}) == problem
    for other in ("optimizer.momentum: is missing", "--seeds: want at least 1, got 0", "no key"):
        assert recipe.located(other) == other
    assert recipe.located("views2: unknown section") == f"{path}:17: views2: unknown section"
    folder = "optimizer: no such file or folder"  # what it is called
    assert recipe.located(folder, whole_sections=False) == folder
    assert recipe.located("optimizer.betas[1].x: no") == f"{path}:12: optimizer.betas[1].x: no"


def test_a_key_outside_a_section_and_no_toml_say_their_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("# note\nepochs = 10\n")
    with pytest.raises(ConfigError, match=f"{path}:2: epochs: stands outside a section"):
        find_recipe(path)
    path.write_text("[train]\nepochs =\n")
    with pytest.raises(UserError, match=r"is not TOML: .*line 2"):
        find_recipe(path)
    with pytest.raises(UserError, match="cannot be read"):
        find_recipe(tmp_path / "none.toml")


def test_every_recipe_is_short_and_says_where_it_comes_from_and_what_to_expect():
    recipes = list_recipes()
    assert len(recipes) == len(list(FOLDER.glob("*.toml"))) >= 60
    for recipe in recipes:
        name = recipe["name"]
        text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 25, name
        assert max(map(len, text.splitlines())) <= 150, name
        known = {"source", "command", "expected", "hardware", "settings", "against", "differs"}
        assert {"source", "command", "expected", "hardware"} <= set(recipe) - {"name", "method"}
        assert set(recipe) - {"name", "method"} <= known, name
        assert recipe["command"].startswith("nearfar train "), name
        assert recipe["command"].endswith(f" --recipe {name}"), name
        assert recipe.get("settings", "ours").startswith("ours"), name


def test_what_is_meant_to_beat_cross_entropy_has_its_twin():
    methods = {recipe["name"]: recipe["method"] for recipe in list_recipes()}
    sections = {name: find_recipe(name).sections for name in recipe_names()}
    twins = {r["name"]: r["against"] for r in list_recipes() if "against" in r}
    wanted = [name for name in methods if name.startswith("supcon-")]
    assert len(wanted) >= 10
    assert set(wanted) <= set(twins)
    for name, twin in twins.items():
        assert methods[twin] == "cross_entropy", name
        for same in ("data", "encoder"):
            ours, theirs = sections[name][same], sections[twin][same]
            assert ours.get("size") == theirs.get("size"), name
            assert ours.get("name") == theirs.get("name"), name
