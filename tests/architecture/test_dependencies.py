"""What is imported is declared in pyproject.toml, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = packages_distributions()

BROUGHT = {  # modules imported and not declared, with the reason
    "triton": "torch's wheels bring the version that fits; imported only where there is a GPU",
    "cv2": "albumentations brings it; bench/ only sets its threads",
    "align": "a user's own method, which tests/runs/test_own_method.py writes and imports",
}
NEVER_IMPORTED = {
    "onnxscript": "torch.onnx writes by it",
    "pytest-xdist": "pytest -n is its option",
    "beartype": "named in a text that tests/conftest.py gives to jaxtyping",
}
# which extras a folder may use, beside the dependencies of the package
EXTRAS = {
    "src": ["parquet", "remote", "export", "heic"],
    "tests": ["test", "parquet", "remote", "export"],
    "bench": ["bench", "parquet", "export"],
    "docs": [],
}
COMMANDS = {"dev"}  # extras of programs that are run, not imported


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names_of(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in requirements}


def declared(*extras: str) -> set[str]:
    found = [PROJECT["optional-dependencies"][extra] for extra in extras]
    return names_of([text for one in found for text in one])


def imported(folder: str) -> dict[str, set[str]]:
    """Top-level modules that files of the folder import, wherever in the file; by module, the
    files. Not those of Python, of nearfar, nor the folder's own files.
    """
    paths = sorted((ROOT / folder).rglob("*.py"))
    beside = [*paths, *(ROOT / "docs").glob("*.py")]  # the tests import the generator of docs
    own = {"nearfar", *(path.stem for path in beside), *sys.stdlib_module_names}
    found: dict[str, set[str]] = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                # a file named triton.py imports triton, and means the library
                if top not in own or top in DISTRIBUTIONS.keys() - {"nearfar"}:
                    found.setdefault(top, set()).add(path.relative_to(ROOT).as_posix())
    return found


def distributions(module: str) -> set[str]:
    """Who provides it; its own name where that is not installed, as is the way of most."""
    return {normal(name) for name in DISTRIBUTIONS.get(module, [module])}


@pytest.mark.parametrize("folder", list(EXTRAS))
def test_what_is_imported_is_declared(folder):
    allowed = names_of(PROJECT["dependencies"]) | declared(*EXTRAS[folder])
    found = imported(folder)
    assert "torch" in found
    missing = {
        module: sorted(files)
        for module, files in found.items()
        if module not in BROUGHT and not distributions(module) & allowed
    }
    assert not missing, f"imported, and in no list of pyproject.toml: {missing}"


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [
        (
            "src",
            names_of(PROJECT["dependencies"]) | declared("parquet", "remote", "export", "heic"),
        ),
        ("tests", declared("test")),
        ("bench", declared("bench")),
    ],
)
def test_what_is_declared_is_imported(folder, wanted):
    used = {name for module in imported(folder) for name in distributions(module)}
    assert wanted - used <= set(NEVER_IMPORTED), f"declared, and not imported in {folder}"


def test_every_extra_is_looked_at_and_dev_holds_what_the_tests_want():
    extras = set(PROJECT["optional-dependencies"])
    assert extras == {extra for some in EXTRAS.values() for extra in some} | COMMANDS
    assert "nearfar[test,parquet,remote,export]" in PROJECT["optional-dependencies"]["dev"]


def test_everybody_formats_with_the_same_ruff():
    """Versions format differently: the hook's is the one that .ci/run installs."""
    config = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (version,) = re.findall(r"ruff-pre-commit\n    rev: v([\d.]+)", config)
    assert f"ruff~={version}" in PROJECT["optional-dependencies"]["dev"]


def test_the_walk_finds_imports_inside_functions_and_knows_who_provides_them():
    found = imported("src")
    assert len(found["pyarrow"]) == 2  # only where tables are read and written
    assert distributions("PIL") == {"pillow"}
    assert distributions("sklearn") == {"scikit-learn"}
    assert {"triton", "lightning_fabric"} <= found.keys()
