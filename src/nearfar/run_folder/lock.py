"""One process at a time works in a run folder: a lock that the system lets go of with the process,
however that ends.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nearfar.core.errors import RunError
from nearfar.run_folder.names import LOCK


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """The folder is this process's alone. RunError: another one has it, or it cannot be written.

    Folders that were made for the lock, and have nothing in them at the end, go.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _taken(folder)
    except OSError as error:
        raise RunError(f"--out: {folder} cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        os.close(held)
        with suppress(OSError):
            for path in made:
                path.rmdir()


def refuse_in_use(folder: Path) -> None:
    """RunError: another process works in it."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return
    try:
        _lock(file, folder)
    finally:
        os.close(file)


def _taken(folder: Path) -> int:
    """The file that holds the lock."""
    while True:
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(file, folder)
            # one that the process before has removed in between locks nobody out
            if _stands(folder / LOCK, file):
                os.ftruncate(file, 0)
                os.write(file, str(os.getpid()).encode())
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _stands(path: Path, file: int) -> bool:
    """Whether the open file is the one at this place."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file))
    return False


def _lock(file: int, folder: Path) -> None:
    """RunError: another process holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        who = os.pread(file, 20, 0).decode(errors="replace") if hasattr(os, "pread") else ""
        by = f" (process {who})" if who.strip() else ""
        raise RunError(
            f"{folder} is in use: another nearfar{by} works in it; wait until it has ended, or name"
            " another --out"
        ) from error
