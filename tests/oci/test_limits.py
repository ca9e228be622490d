"""What a client may do to its registry: connections while there is room, bytes when their time has come."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sync.limits.connections import Share
from sync.oci.client import Client, Endpoint
from sync.oci.errors import Cancelled
from sync.oci.guest import PACED_BLOCK
from tests.fakes.registry import Answer
from tests.oci.artifacts import blob
from tests.support import wait_until

SIZE = 10 * PACED_BLOCK


class Allowed:
    """Limits that write down what was spent; each block takes `seconds`."""

    def __init__(self, connections: int = 8, *, paced: bool = False, seconds: float = 0.0) -> None:
        self.room = Share(threading.Event())
        self.room.allow(connections)
        self.paced = paced
        self.seconds = seconds
        self.spent: list[int] = []

    def spend(self, size: int) -> float:
        self.spent.append(size)
        return self.seconds


def test_no_more_connections_than_there_is_room_for_and_more_as_soon_as_there_is(fake):
    fake.script("GET", "/v2/", *[Answer(wait=True)] * 4)
    limits = Allowed(connections=2)
    client = Client(Endpoint(fake.url), limits=limits)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(client.ping) for _ in range(4)]
        wait_until(lambda: len(fake.requests) == 2)
        limits.room.allow(3)
        wait_until(lambda: len(fake.requests) == 3)
        fake.release.set()
        for one in asked:
            one.result(10)
    client.close()
    assert limits.room.ceiling == 3
    limits.room.allow(0)
    assert limits.room.ceiling == 0, "a connection was counted that is closed"


def test_idle_connections_are_given_back_when_there_is_less_room(fake):
    fake.script("GET", "/v2/", *[Answer(wait=True)] * 2, Answer())
    limits = Allowed(connections=2)
    client = Client(Endpoint(fake.url), limits=limits)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.ping) for _ in range(2)]
        wait_until(lambda: len(fake.requests) == 2)
        fake.release.set()
        for one in asked:
            one.result(10)
    limits.room.allow(1)
    assert limits.room.ceiling == 1
    client.ping()


def test_who_waits_for_room_can_be_stopped(fake):
    client = Client(Endpoint(fake.url), limits=Allowed(connections=0), cancelled=lambda: True)
    with pytest.raises(Cancelled):
        client.ping()
    assert fake.requests == []


def test_bytes_are_spent_in_blocks_both_ways(fake):
    content = bytes(SIZE)
    layer = blob(content)
    fake.script("GET", "/v2/a/blobs/", Answer(body=content))
    fake.script("POST", "/v2/a/blobs/uploads/", Answer(202, {"Location": "/up"}))
    fake.script("PUT", "/up", Answer(201))
    fake.script("PATCH", "/up", Answer(202, {"Location": "/up"}))
    limits = Allowed(paced=True)
    client = Client(Endpoint(fake.url), limits=limits)
    assert sum(map(len, client.read_blob("a", layer))) == SIZE
    assert SIZE <= sum(limits.spent) < SIZE + PACED_BLOCK
    assert max(limits.spent) <= PACED_BLOCK
    limits.spent.clear()
    client.upload("a", layer, [content])
    assert SIZE <= sum(limits.spent) < SIZE + PACED_BLOCK


def test_who_waits_for_bytes_can_be_stopped(fake):
    content = bytes(SIZE)
    fake.script("GET", "/v2/a/blobs/", Answer(body=content))
    limits = Allowed(paced=True, seconds=60)
    client = Client(Endpoint(fake.url), limits=limits, cancelled=lambda: len(limits.spent) > 0)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        list(client.read_blob("a", blob(content)))
    assert time.monotonic() - began < 5
