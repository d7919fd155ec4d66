"""Every file's name stands once in the package."""

import ast
from pathlib import Path

import nearfar
from nearfar.run_folder import names

PACKAGE = Path(nearfar.__file__).parent
ALL = [str(value) for name, value in vars(names).items() if name.isupper()]
NAMES = [name for name in ALL if "." in name]  # of files; a folder's may be a common word
DESCRIBED = "config/models.py"  # a setting's description, in a room below


def literals(path: Path) -> list[str]:
    """All texts of a file but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def test_a_file_s_name_is_typed_in_one_place_alone():
    assert len(NAMES) == 23
    files = [
        path
        for path in PACKAGE.rglob("*.py")
        if path != Path(names.__file__) and path.relative_to(PACKAGE).as_posix() != DESCRIBED
    ]
    assert len(files) > 150
    found = [
        f"{path.relative_to(PACKAGE)}: {text!r}"
        for path in files
        for text in literals(path)
        if any(name in text for name in NAMES) and not text.endswith(".j2")
    ]
    assert not found, found
