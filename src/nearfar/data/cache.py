"""Where decoded sets are kept between runs, and how they get there whole or not at all.

A set is one folder: `images.u8`, `half.u8` and `evaluated.u8` (raw rows), `sizes.i64` (true width
and height of each file listed, 0 for those left out), `copies.i64` (for each row the first one of
the same content), `set.json` with what they are and their checksums.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError
from nearfar.core.writing import PARTIAL, whole
from nearfar.data.center import CenterSquare
from nearfar.data.listing import Listing

PIXELS = ("images.u8", "half.u8", "evaluated.u8")
_NUMBERS = ("sizes.i64", "copies.i64")
_BLOCK = 16 * 2**20  # bytes under one checksum
_VERIFIED_AT_MOST = 64  # blocks of a file at each start; of more, so many spread evenly
_RULES = 3  # raise it when decoding or the files of a set change
STALE_SECONDS = 24 * 3600.0


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


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """`set.json`, with the checksums of the files that are there."""
    sums = {name: _checksums(folder / name) for name in (*PIXELS, *_NUMBERS)}
    text = json.dumps({**facts, "crc32": sums})
    (folder / "set.json").write_text(text, encoding="utf-8")


def read_facts(place: Path) -> dict[str, Any] | None:
    """`set.json` of a complete set whose files have their sizes and checksums, else None."""
    try:
        facts: dict[str, Any] = json.loads((place / "set.json").read_text(encoding="utf-8"))
        wanted = {name: math.prod(shape) for name, shape in shapes(facts).items()}
        wanted |= {"sizes.i64": facts["listed"] * 16, "copies.i64": facts["rows"] * 8}
        whole = all(
            (place / name).stat().st_size == size and _is_as_written(place / name, facts["crc32"])
            for name, size in wanted.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if whole else None


def _checksums(file: Path) -> list[int]:
    """CRC-32 of each block."""
    with file.open("rb") as opened:
        return [zlib.crc32(block) for block in iter(lambda: opened.read(_BLOCK), b"")]


def _is_as_written(file: Path, sums: Mapping[str, list[int]]) -> bool:
    blocks = sums[file.name]
    count = min(len(blocks), _VERIFIED_AT_MOST)
    with file.open("rb") as opened:
        for at in (number * len(blocks) // count for number in range(count)):
            opened.seek(at * _BLOCK)
            if zlib.crc32(opened.read(_BLOCK)) != blocks[at]:
                return False
    return True


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
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def cannot_write(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write the cache of decoded images in {folder}: {error.strerror or error}; "
        "set NEARFAR_CACHE to a folder that can be written"
    )
