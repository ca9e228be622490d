"""A run takes up more repositories when all tags of those before are begun, and not earlier."""

import threading
from collections.abc import Iterator

from sync.oci.client import Client, Endpoint
from sync.registries import PlainRegistry
from sync.replication.events import Tick
from sync.replication.run import Replication
from sync.replication.whereabouts import Hints
from sync.replication.work import Limits, RepositoryWork
from tests.fakes.registry import Answer, Received
from tests.replication.support import push, some_image, spec
from tests.support import Relay


def test_nothing_more_is_taken_while_tags_wait_for_their_turn(source, target, namespace):
    names = [f"{namespace}/r{number}" for number in range(3)]
    for name in names:
        for tag in ("v1", "v2", "v3"):
            push(source, name, tag, some_image())
    stop, released = threading.Event(), threading.Event()
    work = iter([RepositoryWork(name) for name in names])
    begun: list[set[str]] = []

    with Relay(source) as relay:

        def hold(request: Received) -> Answer:
            released.wait(30)
            return relay.forward(request)

        def take(most: int) -> Iterator[RepositoryWork]:
            begun.append({one.target for one in relay.received("GET", f"/v2/{names[0]}/manifests/v")})
            return iter([one for one in [next(work, None)] if one is not None])

        relay.script("GET", f"/v2/{names[0]}/manifests/v", hold)
        from_, to = (
            PlainRegistry(Client(Endpoint(url), side=side, cancelled=stop.is_set))
            for url, side in ((relay.url, "source"), (target, "target"))
        )
        limits = Limits(repositories_at_once=3, resources_at_once=1)
        run = Replication(from_, to, spec(source_namespace=namespace), stop, limits, Hints())
        ticks = 0
        for event in run.run(take, lambda: False):
            ticks += isinstance(event, Tick)
            if ticks == 3:
                released.set()
    assert begun[0] == set()
    # The second time: the last tag of the first repository was begun, too.
    assert len(begun[1]) == 3
