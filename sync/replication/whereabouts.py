"""Where a target keeps a digest, and who is moving one there: hints, which may be wrong or lost at any time."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Protocol


class Whereabouts(Protocol):
    """What is known about one target. Safe for many threads; never raises."""

    def look_up(self, digests: Iterable[str]) -> None:
        """Says that these will be asked for: one look for all of them."""

    def kept_in(self, digest: str) -> str:
        """A repository of the target that was seen to keep the digest; "" when none is known."""

    def claim(self, digest: str) -> bool:
        """Whether to move it now; False while somebody else does. Whoever claims keeps or gives up in the end.

        Anything else that one at a time is to do in this target may be claimed by a name, and given up.
        """

    def keeps(self, digest: str, repository: str) -> None:
        """The repository of the target has it now."""

    def give_up(self, digest: str) -> None:
        """It was not moved after all."""

    def forget(self, digest: str) -> None:
        """It is not where it was seen."""


class Hints:
    """Whereabouts as one process knows them; forgets everything beyond some megabytes: that costs uploads, no more."""

    LIMIT = 100_000

    def __init__(self) -> None:
        self._kept_in: dict[str, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept_in)

    def look_up(self, digests: Iterable[str]) -> None:
        """Nobody else knows more."""

    def kept_in(self, digest: str) -> str:
        return self._kept_in.get(digest, "")

    def claim(self, digest: str) -> bool:
        return True

    def keeps(self, digest: str, repository: str) -> None:
        with self._lock:
            if len(self._kept_in) >= self.LIMIT:
                self._kept_in.clear()
            self._kept_in[digest] = repository

    def give_up(self, digest: str) -> None:
        """Nobody waits for it."""

    def forget(self, digest: str) -> None:
        with self._lock:
            self._kept_in.pop(digest, None)
