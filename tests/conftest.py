"""What every test may rely on: shapes checked as the signatures state them, its own cache of
decoded data, and the folder of real data where there is one.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# as fast for tests so small, and steady beside other programs
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOMS_WITH_SHAPES = ("core", "losses", "nn", "views", "data", "methods", "training", "evaluate")
install_import_hook(
    [f"nearfar.{room}" for room in ROOMS_WITH_SHAPES],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


class CompiledAsWritten(MetaPathFinder):
    """Keeps the hook away from what numba compiles: it cannot compile a checked function. Asked
    first.
    """

    names = ("nearfar.views.kernels.cpu", "nearfar.views.kernels.draw")

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, path, target) if fullname in self.names else None


sys.meta_path.insert(0, CompiledAsWritten())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that NEARFAR_DATA names; without it the test is skipped, loudly."""
    folder = os.environ.get("NEARFAR_DATA")
    if not folder:
        pytest.skip("NEARFAR_DATA IS UNSET: NO REAL DATA TO TEST WITH")
    return Path(folder)
