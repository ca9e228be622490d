"""A worker that is no longer the owner of what it does lets no tag point anywhere."""

import threading
from itertools import islice
from time import monotonic

import pytest

from demo import artifacts
from sync.oci.client import Client
from sync.oci.places import Endpoint
from sync.registries import PlainRegistry
from sync.replication.events import Event, RepositoryDone, ResourceDone, Tick
from sync.replication.lease import Lease
from sync.replication.run import Replication
from sync.replication.whereabouts import Hints
from sync.replication.work import Limits, RepositoryWork
from tests.fakes.registry import Answer
from tests.replication.support import push, sign, some_image, spec
from tests.support import Relay

LEASE_SECONDS = 15.0


def replicate_under(lease: Lease, source: str, target: str, repository: str, namespace: str) -> list[Event]:
    from_, to = (
        PlainRegistry(Client(Endpoint(url, name=side), side=side))
        for side, url in (("source", source), ("target", target))
    )
    wanted = spec(source_namespace=namespace, overwrite=True)
    run = Replication(from_, to, wanted, threading.Event(), Limits(), Hints())
    work = iter([RepositoryWork(repository, lease=lease)])
    return [
        event for event in run.run(lambda most: list(islice(work, most)), lambda: False) if not isinstance(event, Tick)
    ]


@pytest.fixture
def clock(monkeypatch):
    """Moves the clock of leases ahead: as when the process was stopped and goes on."""
    ahead = [0.0]
    monkeypatch.setattr("sync.replication.lease.monotonic", lambda: monotonic() + ahead[0])
    return ahead


@pytest.mark.parametrize("moment", ["blob", "manifest by digest"])
@pytest.mark.parametrize("how", ["frozen", "told"])
def test_no_tag_is_written_after_the_lease_ran_out(how, moment, source, target, namespace, judge, clock):
    name = f"{namespace}/web"
    image = push(source, name, "v1", some_image())
    signature = sign(source, name, image)
    cosign = f"{image.digest.replace(':', '-')}.sig"
    push(source, name, cosign, artifacts.signature(some_image()))
    before = push(target, name, "v1", some_image())
    lease = Lease(LEASE_SECONDS)
    prefix = f"/v2/{name}/manifests/sha256:" if moment == "manifest by digest" else f"/v2/{name}/blobs/uploads/"
    with Relay(target) as relay:

        def lose_it(request):
            if how == "told":
                lease.lose()
            else:
                clock[0] = LEASE_SECONDS + 1
            return relay.forward(request)

        relay.script("PUT", prefix, lose_it)
        events = replicate_under(lease, source, relay.url, name, namespace)
        tags_written = [one for one in relay.received("PUT", f"/v2/{name}/manifests/") if "/sha256:" not in one.target]
        assert relay.received("PUT", prefix)
    assert tags_written == []
    assert RepositoryDone(name, interrupted=True) in events
    assert not [event for event in events if isinstance(event, ResourceDone)]
    assert judge.digest(target, f"{name}:v1") == before.digest
    for tag in (cosign, artifacts.fallback_tag(image)):
        assert judge.digest(target, f"{name}:{tag}") == ""
    again = replicate_under(Lease(LEASE_SECONDS), source, target, name, namespace)
    assert RepositoryDone(name) in again
    assert judge.digest(target, f"{name}:v1") == image.digest
    assert judge.digest(target, f"{name}@{signature.digest}") == signature.digest


def test_a_tag_that_the_target_refused_for_the_moment_is_not_written_again_after_the_lease_was_lost(
    source, target, namespace, judge
):
    name = f"{namespace}/web"
    push(source, name, "v1", some_image())
    before = push(target, name, "v1", some_image())
    lease = Lease(LEASE_SECONDS)
    with Relay(target) as relay:

        def busy(request):
            lease.lose()
            return Answer(503, {"Retry-After": "0"})

        relay.script("PUT", f"/v2/{name}/manifests/v1", busy)
        events = replicate_under(lease, source, relay.url, name, namespace)
        assert len(relay.received("PUT", f"/v2/{name}/manifests/v1")) == 1
    assert RepositoryDone(name, interrupted=True) in events
    assert judge.digest(target, f"{name}:v1") == before.digest


def test_nothing_is_asked_under_a_lease_that_was_lost_before(source, target, namespace):
    name = f"{namespace}/web"
    push(source, name, "v1", some_image())
    lease = Lease(LEASE_SECONDS)
    lease.lose()
    with Relay(target) as relay:
        events = replicate_under(lease, source, relay.url, name, namespace)
        assert relay.requests == []
    assert RepositoryDone(name, interrupted=True) in events


def test_a_lease_holds_from_the_moment_that_its_renewal_was_asked_for(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("sync.replication.lease.monotonic", lambda: now[0])
    lease = Lease(10)
    now[0] = 109.0
    assert lease.holds()
    lease.renew(began=105.0)
    now[0] = 114.0
    assert lease.holds()
    now[0] = 115.0
    assert not lease.holds()
    lease.renew()
    assert lease.holds()
    lease.lose()
    lease.renew()
    assert not lease.holds()
