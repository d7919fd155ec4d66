"""Small tar shards in WebDataset's layout, and a server that misbehaves as it is told."""

import io
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from data_pictures import png


def shard(path: Path, start: int, count: int, classes: int = 3) -> Path:
    """`count` samples, numbered from `start`: an image, its class, and a note."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number in range(start, start + count):
            add(archive, f"{number:05d}.png", png(number))
            add(archive, f"{number:05d}.cls", str(number % classes).encode())
            add(archive, f"{number:05d}.txt", b"a note")
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


class Server:
    """Gives files of a folder; `faults` of a name are used up first: an HTTP status, "half" (closes
    half-way) or "stall" (says nothing for so long that the client gives up).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, list[int | str]] = {}
        self.asked: list[str] = []
        self.address = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        content = (self.folder / name).read_bytes() if (self.folder / name).is_file() else None
        fault = None
        if request.command == "GET":
            self.asked.append(name)
            fault = self.faults[name].pop(0) if self.faults.get(name) else None
        if content is None or isinstance(fault, int):
            request.send_error(404 if content is None else int(fault or 0))
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("ETag", f'"{hash(content)}"')
        request.end_headers()
        if request.command == "HEAD":
            return
        if fault == "stall":
            time.sleep(1.0)
            return
        request.wfile.write(content[: len(content) // 2] if fault == "half" else content)


@contextmanager
def served(folder: Path, faults: Mapping[str, list[int | str]] | None = None) -> Iterator[Server]:
    server = Server(folder)
    server.faults = {name: list(its) for name, its in (faults or {}).items()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def do_HEAD(self) -> None:
            server.answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
