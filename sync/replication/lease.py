"""Whether a worker may still act on what it claimed."""

from time import monotonic


class Lease:
    """Holds for some seconds after each renewal, until it is lost.

    The owner of a claim renews it with each sign of life that was accepted. A worker that was stopped or cut off for so
    long that another may have its work finds the lease run out, and must not let a tag point anywhere.
    """

    def __init__(self, seconds: float = float("inf")) -> None:
        self._seconds = seconds
        self._until = monotonic() + seconds

    def renew(self, began: float | None = None) -> None:
        """`began`: when the renewal was asked for (monotonic seconds), now if not given. A lost lease stays lost."""
        if self._seconds:
            self._until = (monotonic() if began is None else began) + self._seconds

    def lose(self) -> None:
        self._seconds = 0.0
        self._until = 0.0

    def holds(self) -> bool:
        return monotonic() < self._until
