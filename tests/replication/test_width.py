"""How many calls are made at the same time: more only where more gets done."""

import threading
from collections.abc import Callable
from time import monotonic

import pytest

from sync.replication.graph import Graph, Node
from sync.replication.width import FEWEST, Width
from tests.support import wait_until


def simulated(most: int, rate: Callable[[int], float], seconds: float) -> list[int]:
    """The widths that were in force, one after the other, where `rate` of the width gets done per second."""
    now, width = 0.0, Width(most)
    widths = [width.now]
    while now < seconds:
        now += 1 / rate(width.now)
        width.done(now)
        if width.now != widths[-1]:
            widths.append(width.now)
    return widths


def test_far_away_it_becomes_as_wide_as_it_may():
    """A round trip of 100 ms: each call takes that long, however many are under way."""
    assert simulated(64, lambda width: width / 0.1, 5) == [12, 24, 48, 64]
    assert simulated(32, lambda width: width / 0.1, 60) == [12, 24, 32]


def test_nearby_it_stays_narrow_and_tries_now_and_then():
    """Two processors that are busy with twelve do not get more done with more."""
    widths = simulated(32, lambda width: 1000.0, 20)
    assert set(widths) == {12, 24}
    assert widths[-1] == 12 or len(widths) % 2 == 0
    assert 3 <= widths.count(24) <= 5


def test_it_follows_when_more_begins_to_help():
    slow = [True]
    width, now = Width(32), 0.0
    for _ in range(100_000):
        now += 1 / (500 if slow[0] else 500 * width.now / 12)
        width.done(now)
        if now > 8:
            slow[0] = False
    assert width.now == 32


def test_it_is_never_wider_than_the_setting():
    assert simulated(1, lambda width: width / 0.1, 60) == [1]
    assert simulated(8, lambda width: width / 0.1, 60) == [8]
    assert simulated(FEWEST, lambda width: width / 0.1, 60) == [FEWEST]


def test_while_not_all_are_used_nothing_is_tried():
    width = Width(32)
    for number in range(1, 10_000):
        width.done(number / 100)
        if number % 20 == 0:
            width.slack(number / 100)
    assert width.now == FEWEST


def test_what_was_before_a_run_says_nothing_of_it():
    """A width is used by one run after the other; the time in between, and before the first, is no time of work."""
    width = Width(32)
    Graph(width)
    assert not width.beat(monotonic())
    for _ in range(200):
        width.done(monotonic())
    assert width.now == FEWEST


def test_where_calls_take_long_more_are_made_although_none_has_ended():
    width = Width(32)
    width.slack(0.0)
    assert [width.beat(now) for now in (1.0, 1.9, 2.1)] == [False, False, True]
    assert width.now == 24
    assert [width.beat(now) for now in (3.0, 4.2, 9.0)] == [False, True, False]
    assert width.now == 32


def test_a_thread_that_cannot_be_started_takes_no_place(monkeypatch):
    graph, done = Graph(Width(1)), list[int]()

    async def note(number: int) -> None:
        done.append(number)

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        graph.spawn(note(1))
    monkeypatch.setattr(threading.Thread, "start", start)
    graph.spawn(note(2))
    wait_until(lambda: done == [1, 2], 10, "both being done")
    graph.close()


@pytest.fixture
def told():
    """A width as the test tells it."""

    class Told(Width):
        wider = False

        def done(self, now: float) -> bool:
            return self.wider

    width = Told(8)
    width.now = 2
    return width


def test_a_graph_keeps_to_the_width_also_when_it_changes(told):
    graph, gates, inside = Graph(told), [threading.Event() for _ in range(12)], set[int]()

    async def stay(number: int) -> None:
        inside.add(number)
        gates[number].wait(10)
        inside.discard(number)

    def hold(*numbers: int) -> None:
        wait_until(lambda: inside == set(numbers), 10, f"{numbers} being inside")

    nodes: list[Node[None]] = [graph.spawn(stay(number)) for number in range(12)]
    try:
        hold(0, 1)
        told.now, told.wider = 4, True
        gates[0].set()
        hold(1, 2, 3, 4)
        told.now, told.wider = 1, False
        for number in (1, 2, 3):
            gates[number].set()
        hold(4)
        gates[4].set()
        hold(5)
        told.now = 2
        gates[5].set()
        hold(6)  # a thread comes when there is something new
    finally:
        for gate in gates:
            gate.set()
        wait_until(lambda: all(node.done for node in nodes), 10, "all being done")
        graph.close()
