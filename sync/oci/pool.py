"""Connections that are kept: to each place at most so many, the one used last first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from sync.oci.guest import Room
from sync.oci.http1 import Wire

POLL_INTERVAL = 0.2
# A registry, or what is before it, closes idle connections after a minute or more.
KEPT_SECONDS = 50.0
# One that was used just now is not looked at before it is used again.
SURE_SECONDS = 1.0


class Pool:
    """Connections to one place. `room` says whether another may be open just now."""

    def __init__(self, open_one: Callable[[], Wire], room: Room, check_cancelled: Callable[[], None]) -> None:
        self._open_one = open_one
        self._room = room
        self._check_cancelled = check_cancelled
        self._idle: list[Wire] = []
        self._changed = threading.Condition(threading.Lock())
        room.on_change(self._fit)

    def take(self, *, sure: bool = False) -> Wire:
        """One of ours, or a new one; waits while too many are in use. `sure`: one that is open beyond doubt.

        Raises Cancelled, and what opening raises.
        """
        while (wire := self._take_idle()) is not None:
            if self._is_usable(wire, sure=sure):
                return wire
            self.drop(wire)
        try:
            return self._open_one()
        except BaseException:
            self._leave()
            raise

    def _take_idle(self) -> Wire | None:
        """None when there is room for a new one, which is counted by then."""
        with self._changed:
            while not self._idle:
                if self._room.may_open():
                    return None
                self._changed.wait(POLL_INTERVAL)
                self._check_cancelled()
            return self._idle.pop()

    def _is_usable(self, wire: Wire, *, sure: bool) -> bool:
        idle = monotonic() - wire.idle_since
        if idle > KEPT_SECONDS:
            return False
        return (idle < SURE_SECONDS and not sure) or wire.is_quiet()

    def give_back(self, wire: Wire) -> None:
        """It can be used again; it goes when there are more by now than there may be."""
        wire.idle_since = monotonic()
        if self._room.is_over():
            self.drop(wire)
            return
        with self._changed:
            self._idle.append(wire)
            self._changed.notify()

    def drop(self, wire: Wire) -> None:
        """It is of no more use."""
        wire.close()
        self._leave()

    def _leave(self) -> None:
        self._room.closed()
        with self._changed:
            self._changed.notify()

    def _fit(self) -> None:
        """There is more room than before, or less."""
        while self._room.is_over() and self.close_one():
            pass
        with self._changed:
            self._changed.notify_all()

    def close_one(self) -> bool:
        """Close one that is idle; False when there is none."""
        with self._changed:
            wire = self._idle.pop(0) if self._idle else None
        if wire is not None:
            self.drop(wire)
        return wire is not None

    def close(self) -> None:
        """Close the idle ones."""
        while self.close_one():
            pass
