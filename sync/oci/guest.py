"""Being a good guest: what a registry may be asked to bear at once. The wire asks, somebody above answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

# Of one process to one host, where nothing asks for less.
CONNECTIONS_PER_PROCESS = 32
# While bytes are limited, no more of them go at once, so that no transfer is silent for long.
PACED_BLOCK = 64 * 1024


class Room(Protocol):
    """How many connections may be open to one place. Safe for many threads; answers at once."""

    def may_open(self) -> bool:
        """Counts one more connection, if there is room for it."""
        ...

    def closed(self) -> None:
        """A connection that was counted is closed, or could not be opened."""
        ...

    def is_over(self) -> bool:
        """Whether more are open than may be by now: what comes free is to be closed, not kept."""
        ...

    def on_change(self, call: Callable[[], None]) -> None:
        """`call` is called, in any thread, when there is more room or less than before."""
        ...


class Limits(Protocol):
    """What one client may do to its registry.

    room: for connections to the registry's own host; None where only the wire's own limit holds. paced: whether bytes
    are limited; then they are spent in blocks of at most PACED_BLOCK.
    """

    @property
    def room(self) -> Room | None: ...

    @property
    def paced(self) -> bool: ...

    def spend(self, size: int) -> float:
        """Takes so many bytes from what may go; returns the seconds to wait until they may. Never blocks for long."""
        ...


class OwnRoom:
    """Room for so many connections, 0 for any number, whatever others do."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self._lock = threading.Lock()

    def may_open(self) -> bool:
        with self._lock:
            if self._limit and self._open >= self._limit:
                return False
            self._open += 1
            return True

    def closed(self) -> None:
        with self._lock:
            self._open -= 1

    def is_over(self) -> bool:
        return False

    def on_change(self, call: Callable[[], None]) -> None:
        """Nothing ever changes."""


class NoLimits:
    room: Room | None = None
    paced = False

    def spend(self, size: int) -> float:
        return 0.0


NO_LIMITS = NoLimits()
