"""Who gets how many connections: leases as slices hold them, on a real server."""

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from redis import Redis

from sync import queue
from sync.limits import Crowded, Granted, Limit, connections, held, server
from sync.limits.connections import LEASE, Lease, Share
from sync.oci.errors import Cancelled
from tests.support import wait_until

INSTANCE, OTHER = 7, 8


def lease(limit: int, sides: int = 1, instance: int = INSTANCE) -> Lease:
    return Lease(instance, limit, sides, threading.Event())


def allowed(*leases: Lease) -> list[int]:
    return [sum(share.allowed for share in one.shares) for one in leases]


def open_all(share: Share) -> int:
    count = 0
    while share.may_open():
        count += 1
    return count


@contextmanager
def slice_of(*limits: Limit, seconds: float = 10) -> Iterator[list[Granted]]:
    with held(limits, lambda: False, seconds) as granted:
        yield granted


def rooms(granted: Granted) -> Share:
    assert granted.room is not None
    return granted.room


@pytest.mark.usefixtures("valkey")
def test_they_are_shared_evenly_and_nobody_gets_more_than_a_process_may_have():
    first, second, third = leases = [lease(70) for _ in range(3)]
    for one in leases:
        one.renew()
    assert allowed(*leases) == [32, 32, 6]
    for one in leases:
        one.renew()
    third.renew()
    assert allowed(*leases) == [24, 23, 23]
    second.leave()
    first.renew()
    third.renew()
    assert allowed(*leases) == [32, 0, 32]


@pytest.mark.usefixtures("valkey")
def test_what_is_open_counts_until_it_is_closed():
    first, second = lease(10), lease(10)
    first.renew()
    (share,) = first.shares
    assert open_all(share) == 10
    second.renew()
    first.renew()
    assert (share.allowed, share.is_over(), share.may_open()) == (5, True, False)
    second.renew()
    assert allowed(second) == [0]
    for _ in range(3):
        share.closed()
    first.renew()
    second.renew()
    assert allowed(first, second) == [5, 3]


@pytest.mark.usefixtures("valkey")
def test_who_came_first_gets_one_first_and_keeps_it():
    leases = [lease(2) for _ in range(3)]
    for one in leases * 3:
        one.renew()
    assert allowed(*leases) == [1, 1, 0]
    assert not leases[2].ready.is_set()
    leases[0].leave()
    leases[2].renew()
    assert allowed(*leases) == [0, 1, 1]


@pytest.mark.parametrize("limit", range(1, 11))
def test_those_who_came_within_a_moment_keep_their_order(limit, valkey):
    """All in one go, by names in the other order: only the time can tell who came first."""
    expected = [1] * limit + [0] * (20 - limit)
    with Redis.from_url(valkey).pipeline(transaction=False) as together:
        for ceilings in ([0] * 20, expected):
            for number, ceiling in enumerate(ceilings):
                together.eval(LEASE, 1, "leases", f"{99 - number}", limit, ceiling, 1, 1, 10)
        granted = [allowed for allowed, _ in together.execute()]
    assert granted == expected * 2


@pytest.mark.usefixtures("valkey")
def test_who_has_all_hears_that_another_one_has_none():
    first, second = lease(1), lease(1)
    first.renew()
    assert not Granted(first.shares[0], None).others_wait
    second.renew()
    first.renew()
    assert Granted(first.shares[0], None).others_wait
    second.leave()
    first.renew()
    assert not Granted(first.shares[0], None).others_wait
    assert not Granted(None, None).others_wait


@pytest.mark.usefixtures("valkey")
def test_the_two_sides_of_an_instance_copied_to_itself_have_halves():
    both, other = lease(9, sides=2), lease(9)
    both.renew()
    assert [share.allowed for share in both.shares] == [5, 4]
    for one in (other, both, other):
        one.renew()
    assert [share.allowed for share in both.shares] == [3, 2]
    assert allowed(other) == [4]
    # With fewer than two a side that waits for the other one would wait for ever.
    alone = lease(1, sides=2, instance=OTHER)
    alone.renew()
    assert [share.allowed for share in alone.shares] == [1, 1]


@pytest.mark.usefixtures("valkey")
@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_in_whatever_order_there_are_never_more(seed):
    chance = random.Random(seed)
    limit = chance.randint(1, 40)
    leases = [lease(limit) for _ in range(8)]
    opened = [0] * len(leases)
    for _ in range(600):
        number = chance.randrange(len(leases))
        (share,) = leases[number].shares
        match chance.choice(("renew", "renew", "open", "open", "close", "close", "leave")):
            case "renew":
                leases[number].renew()
            case "open":
                opened[number] += sum(share.may_open() for _ in range(chance.randint(1, 20)))
            case "close":
                for _ in range(chance.randint(0, opened[number])):
                    share.closed()
                    opened[number] -= 1
            case "leave":
                leases[number].leave()
        assert sum(max(had, *allowed(one)) for had, one in zip(opened, leases, strict=True)) <= limit
    for had, one in zip(opened, leases, strict=True):
        for _ in range(had):
            one.shares[0].closed()
        one.leave()
    fresh = lease(limit)
    fresh.renew()
    assert allowed(fresh) == [min(limit, 32)]


@pytest.mark.usefixtures("valkey")
def test_a_lease_that_is_not_renewed_expires(monkeypatch):
    monkeypatch.setattr(connections, "LEASE_SECONDS", 1)
    dead, living = lease(4), lease(4)
    dead.renew()
    living.renew()
    assert allowed(living) == [0]

    def has_all() -> bool:
        living.renew()
        return allowed(living) == [4]

    wait_until(has_all)
    # It was frozen, not dead: it opens none any more, and what it has open is counted.
    open_all(dead.shares[0])
    dead.renew()
    assert (dead.shares[0].allowed, dead.shares[0].is_over()) == (0, True)


@pytest.mark.usefixtures("valkey")
def test_a_slice_gives_back_what_it_had():
    limit = Limit(INSTANCE, 4, 0)
    with slice_of(limit) as (first,):
        assert open_all(rooms(first)) == 4
        for _ in range(4):
            rooms(first).closed()
    assert not rooms(first).may_open()
    with slice_of(limit) as (second,):
        assert open_all(rooms(second)) == 4
        for _ in range(4):
            rooms(second).closed()
    assert queue.server().keys("tcrconsole:connections:*") == []


@pytest.mark.usefixtures("valkey")
def test_one_slice_makes_room_for_another_without_being_asked():
    limit, changed = Limit(INSTANCE, 4, 0), threading.Event()
    with slice_of(limit) as (first,):
        room = rooms(first)
        room.on_change(changed.set)
        assert open_all(room) == 4
        with ExitStack() as stack:
            entered = threading.Event()

            def enter() -> None:
                with slice_of(limit) as (second,):
                    wait_until(lambda: rooms(second).allowed == 2)
                    entered.set()

            thread = threading.Thread(target=enter)
            thread.start()
            stack.callback(thread.join)
            assert changed.wait(10)
            assert not entered.is_set()
            while room.is_over():
                room.closed()
            assert entered.wait(10)
        wait_until(lambda: room.allowed == 4)
        room.closed()
        room.closed()


@pytest.mark.usefixtures("valkey")
def test_where_there_are_none_left_one_waits_so_long_or_until_told_to_stop():
    limit = Limit(INSTANCE, 1, 0)
    with slice_of(limit):
        with pytest.raises(Crowded) as crowded, slice_of(limit, seconds=0.3):
            pass
        assert crowded.value.instance == INSTANCE
        with pytest.raises(Cancelled), held([limit], lambda: True, 60):
            pass
    with slice_of(limit) as (granted,):
        assert rooms(granted).may_open()
        rooms(granted).closed()


@pytest.mark.usefixtures("valkey")
def test_rules_in_both_directions_with_one_connection_each_do_not_wait_for_each_other_for_ever(valkey, monkeypatch):
    # On a busy machine the server may take longer than a slice waits for it, which then goes on without.
    patient = Redis.from_url(valkey)
    monkeypatch.setattr(queue, "server", lambda: patient)
    here, there = Limit(INSTANCE, 1, 0), Limit(OTHER, 1, 0)
    done = []

    def work(*limits: Limit) -> None:
        for _ in range(5):
            with slice_of(*limits, seconds=30) as granted:
                assert [open_all(rooms(one)) for one in granted] == [1, 1]
                for one in granted:
                    rooms(one).closed()
            done.append(limits)

    threads = [threading.Thread(target=work, args=limits) for limits in ((here, there), (there, here))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 10


def test_without_a_limit_the_server_is_not_asked(monkeypatch):
    monkeypatch.setattr(server, "queue", None)
    with slice_of(Limit(INSTANCE, 0, 0), Limit(OTHER, 0, 0)) as granted:
        assert [(one.room, one.paced, one.spend(1_000_000)) for one in granted] == [(None, False, 0.0)] * 2


def test_without_the_server_a_slice_goes_on_and_says_so_once(unreachable, monkeypatch, caplog):
    monkeypatch.setattr(queue, "server", lambda: unreachable)
    caplog.set_level(logging.INFO, "sync.limits")
    with slice_of(Limit(INSTANCE, 64, 0), Limit(OTHER, 3, 0)) as (first, second):
        assert (open_all(rooms(first)), open_all(rooms(second))) == (16, 3)
        for room, count in ((rooms(first), 16), (rooms(second), 3)):
            for _ in range(count):
                room.closed()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "by itself" in caplog.text


@pytest.mark.usefixtures("valkey")
def test_a_server_that_goes_away_and_comes_back(unreachable, monkeypatch):
    first, second = lease(10), lease(10)
    first.renew()
    with monkeypatch.context() as gone:
        gone.setattr(queue, "server", lambda: unreachable)
        first.renew()
        assert allowed(first) == [10]
    # Its data is gone, too: what one still has counts again as soon as he asks.
    queue.server().flushall()
    monkeypatch.setattr(server, "_away_until", 0.0)
    first.renew()
    second.renew()
    first.renew()
    second.renew()
    assert allowed(first, second) == [5, 5]
