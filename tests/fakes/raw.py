"""A server that says what it was given, byte for byte: for answers that no library would give."""

import socket
import threading
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self

from tests.support import wait_until


class RawServer(ThreadingTCPServer):
    """Each connection is answered once, with the next of these, and closed; the last is repeated.

    `asked`: the first lines that came; `ended`: connections that are closed again.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, *answers: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.ended = 0
        self._answers = answers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_answer(self) -> bytes:
        return self._answers[min(len(self.asked), len(self._answers)) - 1]

    def wait_for_ends(self, count: int) -> None:
        wait_until(lambda: self.ended >= count)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().shutdown_request(request)
        self.ended += 1


class _Handler(StreamRequestHandler):
    server: RawServer

    def handle(self) -> None:
        first = self.rfile.readline().decode().strip()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        self.server.asked.append(first)
        self.wfile.write(self.server.next_answer())
