"""Ten want the same thing: one does it, the others wait for it, without holding a thread."""

import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import pytest

from sync.oci.errors import Cancelled
from sync.replication.graph import NEXT, Gate, Graph, Node, Once, by_size
from sync.replication.width import Width
from tests.support import wait_until

TEN = 10


class Refused(Exception):
    """The work fails."""


@pytest.fixture
def graph():
    graph = Graph(Width(2))
    yield graph
    graph.close()


def result(node: Node[Any]) -> object:
    wait_until(lambda: node.done, 10, "the node being done")
    try:
        node.__await__().send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it is done, and waits")


def ask_for_one_thing(graph: Graph, work: Callable[[], Awaitable[None]]) -> list[object]:
    """What `do` told each of ten, None where it raised. `work` goes on when all of them have come."""
    once, came = Once(graph), graph.node()
    waiting: list[int] = []

    async def begin() -> None:
        await came
        await work()

    async def ask(number: int) -> bool | None:
        waiting.append(number)
        if len(waiting) == TEN:
            came.settle()
        try:
            return await once.do("thing", begin)
        except Refused:
            return None

    return [result(node) for node in [graph.spawn(ask(number)) for number in range(TEN)]]


def test_exactly_one_does_it_and_is_told_so(graph):
    runs: list[str] = []

    async def work() -> None:
        runs.append("run")

    told = ask_for_one_thing(graph, work)
    assert (told.count(True), told.count(False)) == (1, TEN - 1)
    assert runs == ["run"]


def test_a_failure_lets_the_next_one_try(graph):
    runs: list[str] = []

    async def fail_at_first() -> None:
        runs.append("run")
        if len(runs) == 1:
            raise Refused

    told = ask_for_one_thing(graph, fail_at_first)
    assert (told.count(None), told.count(True), told.count(False)) == (1, 1, TEN - 2)
    assert len(runs) == 2


def test_those_that_wait_hold_no_thread():
    graph = Graph(Width(1))
    gate, order = graph.node(), list[str]()

    async def wait(number: int) -> None:
        await gate
        order.append(f"went on {number}")

    async def open_it() -> None:
        order.append("opened")
        gate.settle()

    waiting = [graph.spawn(wait(number)) for number in range(TEN)]
    graph.spawn(open_it())
    for node in waiting:
        result(node)
    assert order == ["opened", *(f"went on {number}" for number in range(TEN))]
    graph.close()


def test_what_is_ready_goes_by_rank_the_biggest_first():
    graph, order, free = Graph(Width(1)), list[str](), threading.Event()

    async def hold() -> None:
        free.wait(10)

    async def say(word: str) -> None:
        order.append(word)

    graph.spawn(hold())
    ranks = {"small": by_size(1), "big": by_size(1000), "first": (1, 0), "next": NEXT}
    nodes = [graph.spawn(say(word), rank) for word, rank in ranks.items()]
    free.set()
    for node in nodes:
        result(node)
    assert order == ["next", "first", "big", "small"]
    graph.close()


def test_all_ends_when_everything_has_and_raises_what_stopped_it(graph):
    ended: list[str] = []

    async def fail(error: Exception) -> None:
        raise error

    async def work() -> None:
        await graph.sleep(0.01)
        ended.append("work")

    async def parts(*errors: Exception) -> object:
        try:
            await graph.all([*(((1, 0), fail(error)) for error in errors), ((1, 0), work())])
        except Exception as error:  # noqa: BLE001 - looked at by the test
            return error
        return None

    refused, cancelled = Refused(), Cancelled("stopped")
    assert result(graph.spawn(parts(refused, cancelled))) is cancelled
    assert result(graph.spawn(parts(refused))) is refused
    assert result(graph.spawn(parts())) is None
    assert ended == ["work"] * 3


def test_a_gate_lets_so_many_in(graph):
    gate, inside, most = Gate(graph, 2), list[int](), list[int]()

    async def go_through(number: int) -> None:
        async with gate:
            inside.append(number)
            most.append(len(inside))
            await graph.sleep(0.005)
            inside.remove(number)

    for node in [graph.spawn(go_through(number)) for number in range(TEN)]:
        result(node)
    assert max(most) == 2
    assert len(most) == TEN


def test_sleeping_takes_its_time_and_no_thread(graph):
    began = monotonic()

    async def wake_up() -> float:
        await graph.sleep(0.05)
        return monotonic() - began

    for node in [graph.spawn(wake_up()) for _ in range(TEN)]:
        assert 0.05 <= float(str(result(node))) < 5


def test_a_closed_graph_begins_nothing_and_its_threads_go():
    graph, free, begun = Graph(Width(1), "closing"), threading.Event(), list[str]()

    async def hold() -> None:
        begun.append("hold")
        free.wait(10)

    async def never() -> None:
        begun.append("never")

    held = graph.spawn(hold())
    graph.spawn(never())
    wait_until(lambda: begun == ["hold"], 10, "the first beginning")
    graph.close()
    free.set()
    result(held)
    wait_until(lambda: not any(one.name.startswith("closing") for one in threading.enumerate()), 10, "threads going")
    assert begun == ["hold"]
