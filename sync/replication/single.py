"""One thread does what several want."""

import threading
from collections.abc import Callable, Hashable


class SingleFlight:
    """Does each thing once: those that come while it is being done wait and find it done.

    When the first one fails, it raises and the next one tries itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: set[Hashable] = set()
        self._doing: dict[Hashable, threading.Event] = {}

    def do(self, key: Hashable, work: Callable[[], None]) -> bool:
        """True when it was this call that did it."""
        while True:
            with self._lock:
                if key in self._done:
                    return False
                other = self._doing.get(key)
                if other is None:
                    mine = self._doing[key] = threading.Event()
                    break
            other.wait()
        try:
            work()
            with self._lock:
                self._done.add(key)
        finally:
            with self._lock:
                del self._doing[key]
            mine.set()
        return True
