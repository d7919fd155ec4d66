"""A page in a real headless Chromium, over its debugging protocol; nothing but the standard
library.
"""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1280,1000",
)
SECONDS = 60


class Browser:
    """`open` a file, then `evaluate` JavaScript in it; `errors` are what its console complained
    of.
    """

    def __init__(self) -> None:
        self.profile = tempfile.mkdtemp()
        command = [
            shutil.which("chromium") or "chromium",
            *FLAGS,
            f"--user-data-dir={self.profile}",
            "about:blank",
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.socket = self._connect()
        self.count = 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Runtime", "Log", "Network", "Page"):
            self._call(f"{domain}.enable")

    def open(self, page: Path) -> None:
        self._call("Page.navigate", url=page.resolve().as_uri())
        deadline = time.monotonic() + SECONDS
        while self.evaluate("document.readyState") != "complete" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))")

    def evaluate(self, expression: str) -> Any:
        answer = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _connect(self) -> socket.socket:
        file, deadline = Path(self.profile, "DevToolsActivePort"), time.monotonic() + SECONDS
        while (not file.exists() or not file.read_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.05)
        port = int(file.read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            target = next(page for page in json.load(answer) if page["type"] == "page")
        path = "/" + target["webSocketDebuggerUrl"].split("/", 3)[3]
        connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection:"
            f" Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        return connection

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.count += 1
        payload = json.dumps({"id": self.count, "method": method, "params": parameters}).encode()
        size = len(payload)
        length = struct.pack(">B", 0x80 | size) if size < 126 else struct.pack(">BH", 0xFE, size)
        # a mask of zeros leaves the payload as it is
        self.socket.sendall(b"\x81" + length + b"\0\0\0\0" + payload)
        while (message := json.loads(self._receive())).get("id") != self.count:
            self._note(message)
        result: dict[str, Any] = message["result"]
        return result

    def _note(self, message: dict[str, Any]) -> None:
        kind, told = message.get("method"), message.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.errors.append(told["exceptionDetails"]["text"])
        elif kind == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(str(told["args"]))
        elif kind == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(told["entry"]["text"])
        elif kind == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def _receive(self) -> bytes:
        whole = b""
        while True:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
            whole += self._exactly(size)
            if first & 0x80:
                return whole

    def _exactly(self, n: int) -> bytes:
        found = b""
        while len(found) < n:
            part = self.socket.recv(n - len(found))
            assert part, "the browser closed the connection"
            found += part
        return found
