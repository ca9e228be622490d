"""A proxy that opens tunnels (RFC 9110, 9.3.6), all of them to one place."""

from __future__ import annotations

import socket
import ssl
import threading
from email.message import Message
from email.parser import Parser
from pathlib import Path
from select import select
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self

AT_ONCE = 65536


class Tunnel:
    """On 127.0.0.1; wherever CONNECT leads to, it is `port` of this machine. `asked`: request lines with headers."""

    def __init__(self, port: int, certificate: Path | None = None) -> None:
        """certificate: a PEM file with key and certificate, to be spoken to by TLS."""
        self.asked: list[tuple[str, Message]] = []
        self.to = port
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.tunnel = self
        self._scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    tunnel: Tunnel

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are part of the tests."""


class _Handler(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        first = self.rfile.readline().decode().strip()
        lines = list(iter(lambda: self.rfile.readline().decode(), "\r\n"))
        tunnel = self.server.tunnel
        tunnel.asked.append((first, Parser().parsestr("".join(lines))))
        with socket.create_connection(("127.0.0.1", tunnel.to), 10) as behind:
            self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _pass_on(self.connection, behind)


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    while True:
        waiting = isinstance(one, ssl.SSLSocket) and one.pending()
        for ready in [one] if waiting else select([one, other], [], [], 30)[0]:
            block = ready.recv(AT_ONCE)
            if not block:
                return
            (other if ready is one else one).sendall(block)
