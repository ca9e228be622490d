"""A registry that does what it is told: for faults that a real one cannot be made to show."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections import Counter, deque
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
    body is sent so many times. `drop`: reset the connection instead. `chunked`: without Content-Length. `pieces`: the
    body trickles in so many, DRIP_SECONDS apart."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    wait: bool = False
    stall: int = 0
    repeat: int = 1
    drop: bool = False
    chunked: bool = False
    pieces: int = 1


@dataclass(frozen=True)
class Received:
    """One request as it came in; `target` is the path with its query, byte for byte. Header names in any case."""

    method: str
    target: str
    headers: Message
    body: bytes


Script = Answer | Callable[[Received], Answer]

DRIP_SECONDS = 0.1


class FakeRegistry:
    """A threaded HTTP server on an ephemeral port of 127.0.0.1.

    script() gives the answers for a method and a prefix of the target, the longest prefix wins; the last answer
    is repeated. What is not scripted is 404. `requests` records what came in, `connections` how many were opened.
    `deaf_to`: a method whose requests are recorded without their body, which is never read, nor answered.
    `patience`: the seconds after which a connection that does not get on is closed; then `gave_up` is set.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        """certificate: a PEM file with key and certificate, to serve https."""
        self.requests: list[Received] = []
        self.connections = 0
        self.deaf_to = ""
        self.patience = 30.0
        self.gave_up = threading.Event()
        self.release = threading.Event()
        self._scripts: dict[tuple[str, str], tuple[Script, ...]] = {}
        self._asked: Counter[tuple[str, str]] = Counter()
        self._cuts: list[tuple[str, str, deque[int | None]]] = []
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

    def cut_bodies(self, method: str, prefix: str, *after: int | None) -> None:
        """The connections of the next such requests are reset after so many bytes of their body; None spares one."""
        self._cuts.append((method, prefix, deque(after)))

    def before_body(self, method: str) -> None:
        """Told that a request has come, before its body is read."""

    def cut_off(self, request: Received) -> None:
        """Told of a request that was cut, with the part of its body that came."""

    def cut_for(self, method: str, target: str) -> int | None:
        with self._lock:
            for of_method, prefix, after in self._cuts:
                if after and of_method == method and target.startswith(prefix):
                    return after.popleft()
        return None

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
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.fake.patience)
        self.server.fake.connections += 1

    def handle(self) -> None:
        try:
            super().handle()
        except TimeoutError:
            self.server.fake.gave_up.set()
            raise

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
        self.server.fake.before_body(self.command)
        cut = self.server.fake.cut_for(self.command, self.path)
        request = Received(self.command, self.path, self.headers, self._body(cut))
        if cut is None:
            self._send(self.server.fake.answer(request))
            return
        self.server.fake.requests.append(request)
        self.server.fake.cut_off(request)
        self._reset()

    def _body(self, limit: int | None = None) -> bytes:
        """As it came, or its first `limit` bytes."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length if limit is None else min(limit, length))
        body = b""
        while limit is None or len(body) < limit:
            if not (size := int(self.rfile.readline(), 16)):
                self.rfile.readline()
                return body
            body += self.rfile.read(size)
            self.rfile.readline()
        return body[:limit]

    def _reset(self) -> None:
        """What was not read, and what was not sent, is lost (RST)."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for one in (self.rfile, self.wfile, self.connection):
            one.close()

    def _send(self, answer: Answer) -> None:
        if answer.wait:
            self.server.fake.release.wait(30)
        if answer.drop:
            self._reset()
            return
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body) * answer.repeat)}
        headers = {**({"Transfer-Encoding": "chunked"} if answer.chunked else length), **answer.headers}
        for name, value in headers.items():
            for line in value.split("\n"):
                self.send_header(name, line)
        self.end_headers()
        if answer.stall:
            self.wfile.write(answer.body[: answer.stall])
            self.server.fake.release.wait(30)
        elif self.command != "HEAD":
            for _ in range(answer.repeat):
                self._write(answer)
            if answer.chunked and answer.cut is None:
                self.wfile.write(b"0\r\n\r\n")
        if answer.cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _write(self, answer: Answer) -> None:
        body = answer.body[: answer.cut]
        step = -(-len(body) // answer.pieces) or 1
        for start in range(0, len(body), step):
            if start:
                self.server.fake.release.wait(DRIP_SECONDS)
            part = body[start : start + step]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if answer.chunked else part)

    def log_message(self, *_: object) -> None:
        """Nothing: `requests` is the log."""
