"""Limits of an instance that hold over all workers together: connections, and bytes per second."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic

from sync.limits.bandwidth import Budget
from sync.limits.connections import Lease, Share
from sync.oci.errors import Cancelled

__all__ = ["Crowded", "Granted", "Limit", "held"]

RENEW_SECONDS = 1.0
# Who waits for his first connection asks oftener, and looks whether he should stop.
WAITING_SECONDS = 0.2


class Crowded(Exception):
    """Other workers use all connections that the instance may have; `instance` is its key."""

    def __init__(self, instance: int) -> None:
        super().__init__(f"all connections that instance {instance} may have are in use")
        self.instance = instance


@dataclass(frozen=True)
class Limit:
    """What all workers together may do to one instance, which `instance` is the key of; 0: no limit."""

    instance: int
    connections: int
    bytes_per_second: int


@dataclass(frozen=True)
class Granted:
    """What one client may do now (sync.oci.guest.Limits)."""

    room: Share | None
    budget: Budget | None

    @property
    def others_wait(self) -> bool:
        """Whether somebody has no connection at all while we have some."""
        return self.room is not None and self.room.others_wait

    @property
    def paced(self) -> bool:
        return self.budget is not None

    def spend(self, size: int) -> float:
        return self.budget.spend(size) if self.budget else 0.0


@contextmanager
def held(limits: Sequence[Limit], stopped: Callable[[], bool], seconds: float) -> Iterator[list[Granted]]:
    """For each of the limits what a client may do, as long as the block runs; every client has a connection at least.

    Close the clients before the block ends. `stopped` is asked while waiting. Raises Cancelled, and Crowded when
    others let no connection free for so many seconds.
    """
    budgets = {one.instance: Budget(one.instance, one.bytes_per_second) for one in limits if one.bytes_per_second}
    deadline = monotonic() + seconds
    shares: dict[int, list[Share]] = defaultdict(list)
    with ExitStack() as stack:
        sides = Counter(one.instance for one in limits if one.connections)
        renewal: _Renewal | None = None
        # In the same order everywhere: nobody holds what another waits for while waiting for what that one holds.
        for one in sorted(set(limits), key=lambda limit: limit.instance):
            if one.instance in sides:
                renewal = renewal or stack.enter_context(_renewing())
                lease = renewal.take(one, sides[one.instance])
                _wait(lease, one.instance, stopped, deadline)
                shares[one.instance] = list(lease.shares)
        yield [
            Granted(shares[one.instance].pop() if one.connections else None, budgets.get(one.instance))
            for one in limits
        ]


def _wait(lease: Lease, instance: int, stopped: Callable[[], bool], deadline: float) -> None:
    while not lease.ready.wait(WAITING_SECONDS):
        if stopped():
            raise Cancelled("stopped on request")
        if monotonic() >= deadline:
            raise Crowded(instance)


class _Renewal:
    """The thread that renews the leases of a slice."""

    def __init__(self) -> None:
        self._leases: list[Lease] = []
        self._news = threading.Event()
        self._ended = False

    def take(self, limit: Limit, sides: int) -> Lease:
        lease = Lease(limit.instance, limit.connections, sides, self._news)
        self._leases = [*self._leases, lease]
        self._news.set()
        return lease

    def run(self) -> None:
        while not self._ended:
            leases = self._leases
            waiting = not all(lease.ready.is_set() for lease in leases)
            self._news.wait(WAITING_SECONDS if waiting else RENEW_SECONDS)
            self._news.clear()
            for lease in self._leases:
                lease.renew()
        for lease in self._leases:
            lease.leave()

    def end(self) -> None:
        self._ended = True
        self._news.set()


@contextmanager
def _renewing() -> Iterator[_Renewal]:
    renewal = _Renewal()
    thread = threading.Thread(target=renewal.run, name="limits", daemon=True)
    thread.start()
    try:
        yield renewal
    finally:
        renewal.end()
        thread.join(2)
