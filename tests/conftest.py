"""What every test may rely on: its own cache of decoded data, and the folder of real data where there is one."""

import os
from pathlib import Path

import pytest


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
