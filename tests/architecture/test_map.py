"""docs/architecture.md tells where everything lives: its map is the package, room by room."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "nearfar"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w/]+)` \| (.+) \| ([\w ]+) \|$", flags=re.M)


def rooms() -> dict[str, set[str]]:
    """Each folder of the package and its files."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        if path.parent != SOURCE and path.name != "__init__.py":
            room = path.parent.relative_to(SOURCE).as_posix()
            found.setdefault(room, set()).add(path.stem)
    return found


def drawn() -> dict[str, list[str]]:
    return {room: files.split() for room, _, files in ROW.findall(PAGE)}


def test_every_file_stands_in_its_room_on_the_map():
    assert {room: set(files) for room, files in drawn().items()} == rooms()
    assert len(rooms()) == 16
    for room, files in drawn().items():
        assert files == sorted(files), room


def test_the_rooms_are_drawn_from_the_top_down_as_they_may_import():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:layers"]["layers"].split("\n")
    order = [re.findall(r"nearfar\.(\w+)", layer) for layer in layers if layer.strip()]
    levels = {room: level for level, together in enumerate(order) for room in together}
    main = [room for room in drawn() if "/" not in room]
    assert set(main) == set(levels)
    assert [levels[room] for room in main] == sorted(levels[room] for room in main)


def test_files_that_the_page_names_exist():
    named = set(re.findall(r"\b((?:[a-z_]+/)+[a-z_]+\.(?:py|md))\b", PAGE))
    assert len(named) >= 10
    for name in named:
        assert any((base / name).is_file() for base in (SOURCE, ROOT, ROOT / "docs")), name


def test_what_is_said_in_groups_is_what_the_room_holds():
    """The deciding, saying, building ... of `experiment` are all of its files, each once."""
    text = next(what for room, what, _ in ROW.findall(PAGE) if room == "experiment")
    grouped = [name for group in re.findall(r"`([\w ]+)`", text) for name in group.split()]
    assert sorted(grouped) == sorted(rooms()["experiment"])


def test_the_page_is_one_page():
    assert len(PAGE.splitlines()) <= 90
