"""Work that waits for other work without holding a thread.

Coroutines whose calls block, run by a few threads. One that awaits a Node gives its thread to whatever is ready: what
was waited for goes on first, then what has the least rank, then what came first. No thread ever waits for another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Iterable
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar

from sync.oci.errors import Cancelled
from sync.replication.width import Width

Result = TypeVar("Result")
Work = Coroutine["Node[Any]", None, Result]
Rank = tuple[int, int]

RESUMED: Rank = (0, 0)
NEXT: Rank = (0, 1)
FIRST: Rank = (1, 0)

ASKED_EVERY_SECONDS = 0.1


def by_size(size: int) -> Rank:
    """The rank of moving so many bytes: after all that is small, the biggest first."""
    return (2, -size)


class Node(Generic[Result]):
    """Something that will be done: any number of coroutines may await it. It gives what was done, or raises why not."""

    __slots__ = ("_error", "_graph", "_result", "_waiting", "done")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._waiting: list[tuple[Work[Any], Node[Any]]] = []
        self._result: Any = None
        self._error: BaseException | None = None
        self.done = False

    def settle(self, result: Result | None = None, error: BaseException | None = None) -> None:
        self._result, self._error = result, error
        self._graph._resume(self)

    def __await__(self) -> Generator[Node[Any], None, Result]:
        if not self.done:
            yield self
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[no-any-return]


class Graph:
    """Runs coroutines on as many threads as the width allows, which come when there is work for them."""

    def __init__(self, width: Width, name: str = "graph") -> None:
        self._width = width
        self._width.slack(monotonic())  # its window begins now
        self._name = name
        self._changed = threading.Condition(threading.Lock())
        self._ready: list[tuple[Rank, int, Work[Any], Node[Any]]] = []
        self._timers: list[tuple[float, int, Node[None]]] = []
        self._order = count()
        self._threads = self._idle = self._woken = self._working = 0
        self._closed = False

    def node(self) -> Node[Any]:
        """One that the caller settles."""
        return Node(self)

    def spawn(self, work: Work[Result], rank: Rank = FIRST) -> Node[Result]:
        """Begins the work as soon as a thread has time for it."""
        node: Node[Result] = Node(self)
        with self._changed:
            self._push(rank, work, node)
        return node

    async def all(self, works: Iterable[tuple[Rank, Work[Any]]]) -> None:
        """Does all of it, at the same time. When all have ended, raises what stopped one, Cancelled first."""
        errors = []
        for node in [self.spawn(work, rank) for rank, work in works]:
            try:
                await node
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
        if errors:
            raise next((error for error in errors if isinstance(error, Cancelled)), errors[0])

    def sleep(self, seconds: float) -> Node[None]:
        """Is done after a while."""
        node: Node[None] = Node(self)
        with self._changed:
            heappush(self._timers, (monotonic() + seconds, next(self._order), node))
            self._changed.notify()
        return node

    async def until(self, ready: Callable[[], bool], check: Callable[[], None]) -> None:
        """Asks again and again whether it is so; `check` is called between and may raise."""
        while not ready():
            await self.sleep(ASKED_EVERY_SECONDS)
            check()

    def beat(self) -> None:
        """Call several times a second: whether what is under way takes so long that more is to be begun."""
        with self._changed:
            if self._ready and self._working >= self._width.now and self._width.beat(monotonic()):
                self._call_more()

    def close(self) -> None:
        """Begins nothing any more: what was not begun, or waits, is given up; threads go when their calls return."""
        with self._changed:
            self._closed = True
            left = [work for _, _, work, _ in self._ready]
            self._ready.clear()
            self._changed.notify_all()
        for work in left:
            work.close()

    def _push(self, rank: Rank, work: Work[Any], node: Node[Any]) -> None:
        heappush(self._ready, (rank, next(self._order), work, node))
        self._call_one()

    def _call_one(self) -> None:
        """One more thread comes for what is ready, if one may."""
        if self._working + self._woken >= self._width.now or self._closed:
            return
        if self._idle > self._woken:
            self._woken += 1
            self._changed.notify()
        else:
            threading.Thread(target=self._run, name=f"{self._name}-{self._threads + 1}", daemon=True).start()
            self._threads += 1
            self._working += 1

    def _call_more(self) -> None:
        for _ in range(min(len(self._ready), self._width.now)):
            self._call_one()

    def _resume(self, node: Node[Any]) -> None:
        with self._changed:
            self._settle(node)

    def _settle(self, node: Node[Any]) -> None:
        node.done = True
        for work, waiting in node._waiting:
            self._push(RESUMED, work, waiting)
        node._waiting.clear()

    def _run(self) -> None:
        done = False
        while (step := self._next(done)) is not None:
            self._advance(*step)
            done = True

    def _next(self, done: bool) -> tuple[Work[Any], Node[Any]] | None:
        """done: whether this thread comes from a step, not from its start."""
        with self._changed:
            self._working -= 1
            if done and self._width.done(monotonic()):
                self._call_more()
            while not self._closed:
                self._fire_timers()
                if self._ready and self._working < self._width.now:
                    self._working += 1
                    _, _, work, node = heappop(self._ready)
                    return work, node
                if not self._ready:
                    self._width.slack(monotonic())
                self._idle += 1
                self._changed.wait(self._timers[0][0] - monotonic() if self._timers else None)
                self._idle -= 1
                self._woken = max(0, self._woken - 1)
        return None

    def _fire_timers(self) -> None:
        while self._timers and self._timers[0][0] <= monotonic():
            self._settle(heappop(self._timers)[2])

    def _advance(self, work: Work[Any], node: Node[Any]) -> None:
        """Runs it until it ends or awaits what is not done."""
        while True:
            try:
                awaited = work.send(None)
            except StopIteration as end:
                node.settle(end.value)
                return
            except BaseException as error:  # noqa: BLE001 - whoever awaits the node gets it
                node.settle(error=error)
                return
            with self._changed:
                if not awaited.done:
                    awaited._waiting.append((work, node))
                    return


class Gate:
    """`async with` lets so many in at once, in the order in which they come."""

    def __init__(self, graph: Graph, width: int = 1) -> None:
        self._graph = graph
        self._free = width
        self._queue: deque[Node[None]] = deque()
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        await self.enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def has_room(self) -> bool:
        return self._free > 0

    async def enter(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            node = self._graph.node()
            self._queue.append(node)
        await node

    def leave(self) -> None:
        with self._lock:
            if not self._queue:
                self._free += 1
                return
            node = self._queue.popleft()
        node.settle()


class Gates:
    """A gate for one at a time for each key."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._gates: dict[Hashable, Gate] = {}

    def __getitem__(self, key: Hashable) -> Gate:
        return self._gates.get(key) or self._gates.setdefault(key, Gate(self._graph))


class Once:
    """Does each thing once: those that come while it is being done wait and find it done.

    When the first one fails, it raises and the next one tries itself.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: dict[Hashable, Node[bool]] = {}
        self._lock = threading.Lock()

    def is_done(self, key: Hashable) -> bool:
        node = self._nodes.get(key)
        return node is not None and node.done

    async def do(self, key: Hashable, work: Callable[[], Awaitable[object]]) -> bool:
        """True when it was this call that did it."""
        while True:
            with self._lock:
                others = self._nodes.get(key)
                if others is None:
                    mine = self._nodes[key] = self._graph.node()
                    break
            if await others:
                return False
        try:
            await work()
        except BaseException:
            with self._lock:
                del self._nodes[key]
            mine.settle(False)
            raise
        mine.settle(True)
        return True
