"""Files and folders that are written whole or not at all: beside their place, then renamed."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"  # how the name of what is not whole yet ends


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside `path`, of this call alone, for the block to make a file or a folder at.

    It becomes `path` when the block ends well, and is removed when it does not (an interrupt
    included). A file replaces the one that stands there; a folder does not replace one with
    something in it. A block that removed what it had made leaves `path` as it is. OSError passes.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")
    try:
        yield partial
        if partial.exists():
            partial.replace(path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """The whole file, or none of it. OSError: the disk is full, or the place forbids it."""
    with whole(path) as partial:
        partial.write_bytes(content)
