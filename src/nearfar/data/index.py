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
from typing import Any, NamedTuple, TypeVar

from nearfar.core.writing import write_bytes
from nearfar.data.cache import cache_folder
from nearfar.data.decoding import Peeked
from nearfar.data.members import Found, Member
from nearfar.data.rgb import Deep

T = TypeVar("T")
_RULES = 2  # raise it when members are found or described in another way
_SETTLED_SECONDS = 2.0  # a file changed since may change again within one tick of its clock


class Form(NamedTuple):
    """How something is written as JSON, and read. What `read` raises of a damaged file is a
    ValueError, KeyError or TypeError.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


class Indexed(NamedTuple):
    """What is in an archive, and the sha256 of its bytes."""

    found: Found
    digest: str


def indexed(path: Path, look_through: Callable[[Path], Found]) -> Indexed:
    """By the index that is kept, else by `look_through`, whose errors pass."""

    def made() -> Indexed:
        found = look_through(path)
        with path.open("rb") as file:
            return Indexed(found, hashlib.file_digest(file, "sha256").hexdigest())

    return remembered(lambda: _known_by(path), made, _ARCHIVE, is_settled=_is_settled(path))


def remembered(
    known_by: Callable[[], str], make: Callable[[], T], form: Form, *, is_settled: bool
) -> T:
    """What was made before of the same, else what `make` makes now, whose errors pass. It is kept
    where it `is_settled` and known by the same afterwards, and the cache can be written.
    """
    first = known_by()
    name = hashlib.sha256(f"{_RULES}\n{first}".encode("utf-8", "surrogateescape")).hexdigest()[:20]
    place = cache_folder() / "indexes" / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept: T = form.read(json.loads(place.read_bytes()))
        return kept
    found = make()
    if is_settled and known_by() == first:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, json.dumps(form.write(found)).encode())
    return found


def _known_by(path: Path) -> str:
    status = path.stat()
    return f"{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}"


def _is_settled(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _SETTLED_SECONDS


def peeked_form(peeked: Peeked) -> list[Any]:
    return list(astuple(peeked))


def read_peeked(kept: list[Any]) -> Peeked:
    width, height, deep = kept
    return Peeked(width, height, None if deep is None else Deep(*deep))


def _written(archive: Indexed) -> dict[str, Any]:
    pictures, notes, peeked, hidden = archive.found
    return {
        "digest": archive.digest,
        "pictures": [astuple(member) for member in pictures],
        "notes": notes,
        "peeked": [peeked_form(one) for one in peeked],
        "hidden": hidden,
    }


def _read(kept: dict[str, Any]) -> Indexed:
    pictures = [Member(path, offset, size) for path, offset, size in kept["pictures"]]
    peeked = [read_peeked(one) for one in kept["peeked"]]
    return Indexed(Found(pictures, kept["notes"], peeked, kept["hidden"]), kept["digest"])


_ARCHIVE = Form(_written, _read)
