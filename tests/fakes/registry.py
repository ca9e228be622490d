"""A registry that does what it is told: for faults that a real one cannot be made to show."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `cut`: close the connection after so many bytes of the body. `wait`: answer only when the
    fake is stopped or its `release` event is set. `stall`: wait likewise after so many bytes of the body. `repeat`: the
    body is sent so many times."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    wait: bool = False
    stall: int = 0
    repeat: int = 1


@dataclass(frozen=True)
class Received:
    """One request as it came in; `target` is the path with its query, byte for byte. Header names in any case."""

    method: str
    target: str
    headers: Message
    body: bytes


Script = Answer | Callable[[Received], Answer]


class FakeRegistry:
    """A threaded HTTP server on an ephemeral port of 127.0.0.1.

    script() gives the answers for a method and a prefix of the target, the longest prefix wins; the last answer
    is repeated. What is not scripted is 404. `requests` records what came in, `connections` how many were opened.
    `deaf_to`: a method whose requests are recorded without their body, which is never read, nor answered.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        """certificate: a PEM file with key and certificate, to serve https."""
        self.requests: list[Received] = []
        self.connections = 0
        self.deaf_to = ""
        self.release = threading.Event()
        self._scripts: dict[tuple[str, str], tuple[Script, ...]] = {}
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def script(self, method: str, prefix: str, *answers: Script) -> None:
        self._scripts[method, prefix] = answers

    def received(self, method: str, prefix: str = "") -> list[Received]:
        return [one for one in self.requests if one.method == method and one.target.startswith(prefix)]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: Received) -> Answer:
        """The scripted answer to a request, which is recorded."""
        with self._lock:
            self.requests.append(request)
            keys = [key for key in self._scripts if key[0] == request.method and request.target.startswith(key[1])]
            if not keys:
                return Answer(404, body=b'{"errors":[{"code":"NOT_SCRIPTED"}]}')
            key = max(keys, key=lambda one: len(one[1]))
            answers = self._scripts[key]
            chosen = answers[min(self._asked[key], len(answers) - 1)]
            self._asked[key] += 1
        return chosen if isinstance(chosen, Answer) else chosen(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    fake: FakeRegistry

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.fake.connections += 1

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        if self.command == self.server.fake.deaf_to:
            self.server.fake.requests.append(Received(self.command, self.path, self.headers, b""))
            self.server.fake.release.wait(30)
            self.close_connection = True
            return
        request = Received(self.command, self.path, self.headers, self._body())
        self._send(self.server.fake.answer(request))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        blocks = []
        while size := int(self.rfile.readline(), 16):
            blocks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(blocks)

    def _send(self, answer: Answer) -> None:
        if answer.wait:
            self.server.fake.release.wait(30)
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body) * answer.repeat), **answer.headers}
        for name, value in headers.items():
            for line in value.split("\n"):
                self.send_header(name, line)
        self.end_headers()
        if answer.stall:
            self.wfile.write(answer.body[: answer.stall])
            self.server.fake.release.wait(30)
        elif self.command != "HEAD":
            for _ in range(answer.repeat):
                self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
        if answer.cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing: `requests` is the log."""
