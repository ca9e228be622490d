"""HTTP/1.1 on one open connection: heads and bodies (RFC 9112). Raises OSError for whatever is broken."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Protocol

HEAD_LIMIT = 64 * 1024
RECEIVED_AT_ONCE = 64 * 1024
JOINED_BODY = 64 * 1024
SENT_AT_ONCE = 256 * 1024

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5]\d\d)(?: .*)?")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")


class BrokenHttp(OSError):
    """The other side does not keep to HTTP, or leaves in the middle of an answer."""


class LeftBeforeAnswering(BrokenHttp):
    """The other side closed the connection without a byte of an answer: idle ones it may close at any time."""


class Headers(dict[str, str]):
    """Of an answer, asked for in any case; several of one name are joined by commas (RFC 9110, 5.3)."""

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        return super().get(name.lower(), default)

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Headers:
        headers = cls()
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name[0] in " \t":
                raise BrokenHttp("a header of the answer is none")
            name, value = name.lower(), value.strip(" \t")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


class Socket(Protocol):
    """What is needed of a socket, plain or TLS."""

    def recv(self, size: int, /) -> bytes: ...
    def recv_into(self, buffer: memoryview, /) -> int: ...
    def send(self, data: memoryview, /) -> int: ...
    def sendall(self, data: bytes, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def close(self) -> None: ...


class Wire:
    """One connection. `answered`: how many answers came over it; `seconds`: how long one call may wait."""

    def __init__(self, opened: Socket, seconds: float) -> None:
        self.socket = opened
        self.answered = 0
        self.idle_since = 0.0
        self._seconds = seconds
        self._ahead = b""
        opened.settimeout(seconds)

    def close(self) -> None:
        self.socket.close()

    def is_quiet(self) -> bool:
        """Whether the other side has neither closed nor said anything; what it said is kept for read_head()."""
        if self._ahead:
            return False
        self.socket.settimeout(0)
        try:
            self._ahead = self.socket.recv(RECEIVED_AT_ONCE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(self._seconds)
        return False

    def send(self, head: bytes, body: bytes | Iterable[bytes | memoryview] | None, *, chunked: bool) -> bool:
        """Send a request. False when the other side answers, or is gone, before it has all of the body."""
        if body is None or isinstance(body, bytes):
            return self._send_whole(head, body or b"")
        self.socket.sendall(head)
        for block in _in_chunks(body) if chunked else body:
            # Whoever refuses a body may do so at its beginning, and then read no more.
            if not self.is_quiet() or not self._send_block(block):
                return False
        return True

    def _send_whole(self, head: bytes, body: bytes) -> bool:
        if len(body) <= JOINED_BODY:
            self.socket.sendall(head + body)
            return True
        self.socket.sendall(head)
        return self._send_block(body)

    def _send_block(self, block: bytes | memoryview) -> bool:
        """In pieces, so that the time limit is one for getting on, however slow the other side is."""
        view = memoryview(block)
        try:
            while view:
                view = view[self.socket.send(view[:SENT_AT_ONCE]) :]
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def read_head(self) -> tuple[int, bool, Headers]:
        """Status, whether the connection may be used again, and headers of the answer; interim ones are passed over."""
        while True:
            status, minor, headers = self._one_head()
            if status >= 200 or status == 101:
                self.answered += 1
                options = headers.get("Connection").lower()
                return status, "close" not in options and (minor == "1" or "keep-alive" in options), headers

    def _one_head(self) -> tuple[int, str, Headers]:
        received = self._ahead
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > HEAD_LIMIT:
                raise BrokenHttp("the head of the answer does not end")
            more = self.socket.recv(RECEIVED_AT_ONCE)
            if not more:
                raise BrokenHttp("cut off") if received else LeftBeforeAnswering("gone")
            received += more
        self._ahead = received[end + 4 :]
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        matched = _STATUS_LINE.fullmatch(first)
        if matched is None:
            raise BrokenHttp("it is no answer of HTTP")
        return int(matched[2]), matched[1], Headers.parse(lines)

    def receive_into(self, view: memoryview) -> int:
        """Some bytes, at most as many as there is room for; 0 at the end of the connection."""
        if self._ahead:
            taken = self._ahead[: len(view)]
            self._ahead = self._ahead[len(taken) :]
            view[: len(taken)] = taken
            return len(taken)
        return self.socket.recv_into(view)

    def read_line(self) -> bytes:
        while (end := self._ahead.find(b"\r\n")) < 0:
            more = self.socket.recv(RECEIVED_AT_ONCE) if len(self._ahead) < HEAD_LIMIT else b""
            if not more:
                raise BrokenHttp("cut off in the middle of a chunk")
            self._ahead += more
        line, self._ahead = self._ahead[:end], self._ahead[end + 2 :]
        return line


class Body:
    """The body of an answer on the wire. `ended`: all of it was read, the next answer may come."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.ended = False

    def read_into(self, view: memoryview) -> int:
        """Some bytes; 0 at its end. Raises BrokenHttp when it is cut off."""
        raise BrokenHttp("it is no body")


class SizedBody(Body):
    """As long as Content-Length tells."""

    def __init__(self, wire: Wire, size: int) -> None:
        super().__init__(wire)
        self._left = size
        self.ended = size == 0

    def read_into(self, view: memoryview) -> int:
        if self.ended:
            return 0
        count = self._wire.receive_into(view[: self._left])
        if not count:
            raise BrokenHttp("cut off")
        self._left -= count
        self.ended = self._left == 0
        return count


class ChunkedBody(Body):
    """In chunks (RFC 9112, 7.1)."""

    _left = 0

    def read_into(self, view: memoryview) -> int:
        if self.ended:
            return 0
        if not self._left and not self._begin_chunk():
            return 0
        count = self._wire.receive_into(view[: self._left])
        if not count:
            raise BrokenHttp("cut off")
        self._left -= count
        if not self._left and self._wire.read_line():
            raise BrokenHttp("a chunk is longer than it says")
        return count

    def _begin_chunk(self) -> bool:
        matched = _CHUNK_SIZE.fullmatch(self._wire.read_line())
        if matched is None:
            raise BrokenHttp("the size of a chunk is none")
        self._left = int(matched[1], 16)
        if not self._left:
            while self._wire.read_line():
                pass  # trailers
            self.ended = True
        return not self.ended


class EndlessBody(Body):
    """Until the other side closes."""

    def read_into(self, view: memoryview) -> int:
        return self._wire.receive_into(view)


def body_of(wire: Wire, method: str, status: int, headers: Headers) -> Body:
    """How the body of this answer is told apart from what follows (RFC 9112, 6.3)."""
    if method == "HEAD" or status in (204, 304):
        return SizedBody(wire, 0)
    if coding := headers.get("Transfer-Encoding"):
        if coding.lower() != "chunked":
            raise BrokenHttp("the answer is coded for transfer in an unknown way")
        return ChunkedBody(wire)
    lengths = {told.strip() for told in headers.get("Content-Length").split(",")}
    if lengths == {""}:
        return EndlessBody(wire)
    told = lengths.pop()
    if lengths or not (told.isascii() and told.isdecimal()):
        raise BrokenHttp("the answer tells no one length")
    return SizedBody(wire, int(told))


def _in_chunks(blocks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    for block in blocks:
        if block:
            yield b"%x\r\n" % len(block)
            yield block
            yield b"\r\n"
    yield b"0\r\n\r\n"


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Raises ValueError for what would begin a header of its own."""
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header with a line break")
    return f"{head}\r\n\r\n".encode("latin-1")


def tcp_nodelay(opened: socket.socket) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
