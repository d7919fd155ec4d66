"""Files at addresses such as https://HOST/train-0000.tar or s3://BUCKET/train-0000.tar, through
fsspec: copied into a bounded part of the cache when they are read, the next ones meanwhile.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, final

from nearfar.core.errors import DataError
from nearfar.core.writing import PARTIAL, whole
from nearfar.data.cache import STALE_SECONDS, cache_folder

T = TypeVar("T")
WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between attempts to fetch a file; then the command stops."""
SILENCE_SECONDS = 30.0
"""After which a connection that brings nothing is given up."""
ROOM_GB = 20.0
"""Of copies, in GB of 10⁹ bytes, where NEARFAR_FETCHED_GB says nothing else."""
_AT_ONCE = 4  # files


@final
class RemoteFiles:
    """Files at addresses that fsspec knows.

    Copies that were not used for longest are removed when there is no more room. An attempt that
    fails (an error of the server, silence, a connection that is closed half-way, a copy of another
    size than was promised) is repeated after growing waits; then DataError names the file.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = tuple(addresses)
        self._system, self._places = _file_system(self._addresses)
        self._guard = threading.Lock()
        self._told: dict[int, dict[str, Any]] = {}
        self._coming: dict[int, Future[Path]] = {}
        self._slots = threading.Semaphore(_AT_ONCE)

    def __len__(self) -> int:
        return len(self._addresses)

    def shown(self, number: int) -> str:
        return self._addresses[number]

    def stamp(self, number: int) -> str:
        facts = self._facts(number)
        known_by = ("size", "ETag", "mtime", "LastModified")
        return " ".join(str(facts[key]) for key in known_by if facts.get(key) is not None)

    def path(self, number: int) -> Path:
        found = self._asked_for(number).result()
        try:
            os.utime(found)  # used last
        except FileNotFoundError:  # it had to make room
            with self._guard:
                self._coming.pop(number, None)
            return self.path(number)
        return found

    def expect(self, number: int) -> None:
        self._asked_for(number)

    def _asked_for(self, number: int) -> Future[Path]:
        with self._guard:
            if number not in self._coming:
                coming = self._coming[number] = Future()
                # a thread that an interrupt does not wait for, however many are to be fetched
                threading.Thread(target=self._fetch, args=(number, coming), daemon=True).start()
            return self._coming[number]

    def _fetch(self, number: int, coming: "Future[Path]") -> None:
        with self._slots:
            try:
                coming.set_result(self._fetched(number))
            except (DataError, OSError) as error:
                coming.set_exception(error)
            finally:
                coming.cancel()  # where something else went wrong, whoever waits is told

    def _fetched(self, number: int) -> Path:
        address, facts = self._addresses[number], self._facts(number)
        name = hashlib.sha256(f"{address}\n{self.stamp(number)}".encode()).hexdigest()[:20]
        copy = cache_folder() / "fetched" / f"{name}-{PurePosixPath(address).name[-60:]}"
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            self._attempted(number, lambda: self._copy(number, facts.get("size"), copy))
            _make_room(copy)
        return copy

    def _facts(self, number: int) -> dict[str, Any]:
        """What the server says, asked once."""
        if number not in self._told:
            told = self._attempted(number, lambda: dict(self._system.info(self._places[number])))
            self._told[number] = told
        return self._told[number]

    def _copy(self, number: int, size: int | None, copy: Path) -> None:
        with whole(copy) as partial:
            self._system.get_file(self._places[number], str(partial))
            if size is not None and (got := partial.stat().st_size) != size:
                raise OSError(f"got {got:,} of {size:,} bytes")

    def _attempted(self, number: int, attempt: Callable[[], T]) -> T:
        """What `attempt` gives, repeated where the network is at fault."""
        address = self._addresses[number]
        for wait in (*WAITS_SECONDS, None):
            try:
                return attempt()
            except FileNotFoundError as error:
                raise DataError(f"{address}: no such file there") from error
            except _network_errors() as error:
                if wait is None:
                    reason = str(error) or type(error).__name__
                    raise DataError(
                        f"{address}: cannot be fetched, tried {len(WAITS_SECONDS) + 1} times"
                        f" ({reason}); --resume goes on once it can be reached"
                    ) from error
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def _network_errors() -> tuple[type[Exception], ...]:
    """What fsspec's file systems raise; that of the web has aiohttp's besides."""
    with contextlib.suppress(ImportError):
        import aiohttp

        return OSError, aiohttp.ClientError
    return (OSError,)


def _file_system(addresses: Sequence[str]) -> tuple[Any, tuple[str, ...]]:
    """fsspec's file system of the addresses, and what they are called there."""
    import fsspec

    protocol = addresses[0].partition("://")[0]
    options: dict[str, Any] = {}
    try:
        if protocol in ("http", "https"):
            import aiohttp

            silence = aiohttp.ClientTimeout(
                total=None, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS
            )
            options = {"client_kwargs": {"timeout": silence}, "skip_instance_cache": True}
        system, _ = fsspec.core.url_to_fs(addresses[0], **options)
    except ImportError as error:
        raise DataError(
            f"{addresses[0]}: wants another package ({error}); for http(s):"
            " pip install 'nearfar[remote]'"
        ) from error
    except ValueError as error:
        raise DataError(f"{addresses[0]}: want an address that fsspec knows ({error})") from error
    return system, tuple(system._strip_protocol(address) for address in addresses)


def _make_room(kept: Path) -> None:
    """Removes copies, those that were used last at last, and never `kept`; and what was left
    unfinished a day ago.
    """
    room = float(os.environ.get("NEARFAR_FETCHED_GB") or ROOM_GB) * 1e9
    copies = []
    for file in kept.parent.iterdir():
        with contextlib.suppress(OSError):  # another process may have removed it
            status = file.stat()
            if not file.name.endswith(PARTIAL):
                copies.append((status.st_mtime_ns, status.st_size, file))
            elif time.time() - status.st_mtime > STALE_SECONDS:
                file.unlink()
    taken = sum(size for _, size, _ in copies)
    for _, size, file in sorted(copies):
        if taken <= room:
            return
        if file != kept:
            file.unlink(missing_ok=True)
            taken -= size
