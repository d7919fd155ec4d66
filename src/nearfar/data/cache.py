"""Where decoded sets are kept between runs, and how they get there whole or not at all.

A set is one folder: `images.u8`, `half.u8` and `evaluated.u8` (raw rows), `sizes.i64` (true width
and height of each file listed, 0 for those left out), `set.json`.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError
from nearfar.core.writing import PARTIAL, whole
from nearfar.data.center import CenterSquare
from nearfar.data.listing import Listing

PIXELS = ("images.u8", "half.u8", "evaluated.u8")
_RULES = 2  # raise it when decoding or the files of a set change
_STALE_SECONDS = 24 * 3600.0


def cache_folder() -> Path:
    """NEARFAR_CACHE, else the platform's folder for caches of this user."""
    if given := os.environ.get("NEARFAR_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            / "nearfar"
            / "Cache"
        )
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nearfar"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearfar"


def set_folder(listing: Listing, content: str, side: int, center: CenterSquare) -> Path:
    """Where the set of this content, side and evaluation view belongs, if it is there or not."""
    digest = hashlib.sha256(f"{_RULES}\n{content}\n{center}\n".encode())
    digest.update("\n".join(listing.paths).encode())
    return cache_folder() / "decoded" / f"{listing.name[:60]}-{digest.hexdigest()[:20]}-{side}"


def free_bytes() -> int:
    """Room on the disk of the cache; the folder is made. Raises DataError where that fails."""
    folder = cache_folder() / "decoded"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise cannot_write(folder, error) from error


@contextmanager
def written_whole(place: Path) -> Iterator[Path]:
    """A temporary folder that becomes `place` when the block ends well, and is removed when it does
    not.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent)
    except OSError as error:
        raise cannot_write(place.parent, error) from error
    with whole(place) as temporary:
        try:
            temporary.mkdir()
        except OSError as error:
            raise cannot_write(place.parent, error) from error
        yield temporary
        if read_facts(place) is None:  # what stands there, if anything, is not whole
            shutil.rmtree(place, ignore_errors=True)
        else:  # another process wrote the same meanwhile
            shutil.rmtree(temporary, ignore_errors=True)


def read_facts(place: Path) -> dict[str, object] | None:
    """`set.json` of a complete set, else None."""
    try:
        facts = json.loads((place / "set.json").read_text(encoding="utf-8"))
        wanted = {name: math.prod(shape) for name, shape in shapes(facts).items()}
        wanted["sizes.i64"] = facts["listed"] * 16
        whole = all((place / name).stat().st_size == size for name, size in wanted.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if whole else None


def shapes(facts: Mapping[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    """Of the arrays in a set's files."""
    rows, sides = facts["rows"], (facts["side"], facts["half"], facts["center"]["size"])
    counts = (rows, rows, facts["evaluated"])
    return {
        name: (count, side, side, 3)
        for name, count, side in zip(PIXELS, counts, sides, strict=True)
    }


def _sweep(folder: Path) -> None:
    """Removes what killed processes left more than a day ago (of 0.1.0: named .tmp)."""
    for left in (*folder.glob(f".*{PARTIAL}"), *folder.glob(".*.tmp")):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def cannot_write(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write the cache of decoded images in {folder}: {error.strerror or error}; "
        "set NEARFAR_CACHE to a folder that can be written"
    )
