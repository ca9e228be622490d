"""`python -m tests.bench.delay HOST PORT SECONDS`: a TCP proxy that makes a registry far away. Prints its own port.

Each direction takes half of the round trip and is as wide as loopback; opening a connection takes a whole one, as it
does over a real network. One thread over epoll (Linux): it shall cost little beside what is measured.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from tcrconsole.runner import PROJECT

ROUND_TRIP_SECONDS = 0.1
BLOCK = 256 * 1024
# What one direction of a connection may hold: as much as a wide window of TCP over such a distance.
WINDOW = 64 * 1024 * 1024


class _End:
    """One of the two ends of a connection: what is to be sent out of it, and whether that is all."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.peer = self
        self.outbox: deque[memoryview] = deque()
        self.under_way = 0
        self.reads = self.last = self.finished = False

    @property
    def wanted(self) -> int:
        """The events to wait for."""
        reads = self.reads and self.under_way < WINDOW
        return (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if self.outbox else 0)


class Proxy:
    def __init__(self, host: str, port: int, round_trip: float) -> None:
        self._behind = (host, port)
        self._round_trip = round_trip
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self._ends: dict[int, _End] = {}
        self._opening: deque[tuple[float, _End]] = deque()
        self._flying: deque[tuple[float, _End, bytes]] = deque()
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def run(self) -> None:
        while True:
            for number, events in self._epoll.poll(self._next_due()):
                if number == self._listener.fileno():
                    self._accept()
                elif number in self._ends:
                    self._serve(self._ends[number], events)
            self._land(monotonic())

    def _next_due(self) -> float | None:
        due = [queue[0][0] for queue in (self._opening, self._flying) if queue]
        return max(0.0, min(due) - monotonic()) if due else None

    def _accept(self) -> None:
        near, far = _End(self._listener.accept()[0]), _End(socket.create_connection(self._behind))
        near.peer, far.peer = far, near
        far.reads = True
        for end in (near, far):
            self._ends[end.sock.fileno()] = end
            self._epoll.register(end.sock, end.wanted)
        self._opening.append((monotonic() + self._round_trip, near))

    def _serve(self, end: _End, events: int) -> None:
        try:
            self._flush(end)
            if end.reads and events & ~select.EPOLLOUT:
                self._read(end)
            elif events & (select.EPOLLERR | select.EPOLLHUP):
                self._close(end)
        except OSError:
            self._close(end)
        for one in (end, end.peer):
            if one.sock.fileno() in self._ends:
                self._epoll.modify(one.sock, one.wanted)

    def _read(self, end: _End) -> None:
        block = end.sock.recv(BLOCK)
        end.reads = bool(block)
        end.under_way += len(block)
        self._flying.append((monotonic() + self._round_trip / 2, end.peer, block))

    def _land(self, now: float) -> None:
        while self._opening and self._opening[0][0] <= now:
            end = self._opening.popleft()[1]
            end.reads = True
            self._serve(end, 0)
        while self._flying and self._flying[0][0] <= now:
            _, end, block = self._flying.popleft()
            end.last = not block
            if block:
                end.outbox.append(memoryview(block))
            self._serve(end, 0)

    def _flush(self, end: _End) -> None:
        while end.outbox:
            try:
                sent = end.sock.send(end.outbox[0])
            except BlockingIOError:
                return
            end.peer.under_way -= sent
            rest = end.outbox.popleft()[sent:]
            if rest:
                end.outbox.appendleft(rest)
        if end.last and not end.finished:
            end.finished = True
            end.sock.shutdown(socket.SHUT_WR)
            if end.peer.finished:
                self._close(end)

    def _close(self, end: _End) -> None:
        for one in (end, end.peer):
            if self._ends.pop(one.sock.fileno(), None):
                self._epoll.unregister(one.sock)
                one.sock.close()


@contextmanager
def far_away(url: str) -> Iterator[str]:
    """The URL under which the registry is as far away as ROUND_TRIP_SECONDS say."""
    host, _, port = url.partition("://")[2].partition(":")
    command = [sys.executable, "-m", "tests.bench.delay", host, port, str(ROUND_TRIP_SECONDS)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def main() -> None:
    host, port, round_trip = sys.argv[1:]
    proxy = Proxy(host, int(port), float(round_trip))
    print(proxy.port, flush=True)
    proxy.run()


if __name__ == "__main__":
    main()
