"""What an archive holds, kept in the cache: it is gone through once, and known again by where it
lies, its size and its time of change.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any, NamedTuple

from nearfar.core.writing import write_bytes
from nearfar.data.cache import cache_folder
from nearfar.data.decoding import Peeked
from nearfar.data.members import Found, Member
from nearfar.data.rgb import Deep

_RULES = 1  # raise it when members are found or described in another way
_SETTLED_SECONDS = 2.0  # a file changed since may change again within one tick of its clock


class Indexed(NamedTuple):
    """What is in an archive, and the sha256 of its bytes."""

    found: Found
    digest: str


def indexed(path: Path, look_through: Callable[[Path], Found]) -> Indexed:
    """By the index that is kept, else by `look_through`, whose errors pass. Where the cache cannot
    be written, nothing is kept.
    """
    place = _place(path)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return _read(json.loads(place.read_bytes()))
    changed = path.stat().st_mtime
    found = look_through(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - changed > _SETTLED_SECONDS and place == _place(path):
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, json.dumps(_written(found, digest)).encode())
    return Indexed(found, digest)


def _place(path: Path) -> Path:
    status = path.stat()
    known_by = f"{_RULES}\n{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}"
    name = hashlib.sha256(known_by.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return cache_folder() / "indexes" / f"{name}.json"


def _written(found: Found, digest: str) -> dict[str, Any]:
    return {
        "digest": digest,
        "pictures": [astuple(member) for member in found.pictures],
        "notes": found.notes,
        "peeked": [astuple(one) for one in found.peeked],
    }


def _read(kept: dict[str, Any]) -> Indexed:
    peeked = [
        Peeked(width, height, None if deep is None else Deep(*deep))
        for width, height, deep in kept["peeked"]
    ]
    pictures = [Member(path, offset, size) for path, offset, size in kept["pictures"]]
    return Indexed(Found(pictures, kept["notes"], peeked), kept["digest"])
