"""Limits over workers that are processes of their own."""

import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from tests.support import wait_until

pytestmark = pytest.mark.usefixtures("valkey")


class Counter:
    """A server that counts the connections that are open to it."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._ended = threading.Event()
        self.port = self._listening.getsockname()[1]
        self.open = self.most = 0
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        with selectors.DefaultSelector() as selector, self._listening:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._ended.is_set():
                found = [key.fileobj for key, _ in selector.select(0.1)]
                # Those that end first: a worker closes one before another opens one for it.
                for ended in [one for one in found if one is not self._listening]:
                    selector.unregister(ended)
                    ended.close()  # type: ignore[union-attr]
                    self.open -= 1
                if self._listening in found:
                    selector.register(self._listening.accept()[0], selectors.EVENT_READ)
                    self.open += 1
                    self.most = max(self.most, self.open)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def counter() -> Iterator[Counter]:
    counter = Counter()
    yield counter
    counter.end()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def begin(stack: ExitStack, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.limits.worker", *map(str, words)]
    worker = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stack.callback(worker.wait)
    stack.callback(worker.kill)
    return worker


def test_all_workers_together_never_have_more_connections_open(counter, stack):
    """While one more comes, and after one was killed and another has ended."""
    first = begin(stack, 1, 12, 0, "hold", counter.port)
    wait_until(lambda: counter.open == 12, what="the first having all")
    second = begin(stack, 1, 12, 0, "hold", counter.port)
    assert second.stdout is not None and second.stdout.readline()
    wait_until(lambda: counter.open == 12, what="two having all")
    first.kill()
    wait_until(lambda: counter.open == 6, what="each having had half")
    wait_until(lambda: counter.open == 12, what="the second having what the killed one had")
    third = begin(stack, 1, 12, 0, "hold", counter.port)
    assert third.stdout is not None and third.stdout.readline()
    second.communicate()
    wait_until(lambda: counter.open == 12, what="the third having what the second gave back")
    assert counter.most == 12


def test_two_workers_together_keep_to_the_bytes_per_second(stack):
    rate, each = 8_000_000, 10_000_000
    workers = [begin(stack, 1, 0, rate, "spend", each) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline()
    began = monotonic()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.wait(30) == 0
    assert 2 * each / (monotonic() - began) == pytest.approx(rate, rel=0.25)
