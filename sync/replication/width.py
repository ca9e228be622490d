"""How many calls are worth making at the same time."""

WINDOW_SECONDS = 0.5
HOLD_SECONDS = 5.0
# When most calls take longer, neither a registry's speed nor this machine's limits them.
SLOW_SECONDS = 2.0
# So many are always allowed: enough for registries nearby, which more would only make slower.
FEWEST = 12
# Twice as many must get so much more done, or they are too many.
GAIN = 1.25


class Width:
    """Twice as many for a while, from time to time; they stay if more gets done.

    Far registries answer many at once as soon as one; near ones, and this machine, have a limit. All times are
    monotonic seconds. One may be used by one graph after the other.
    """

    def __init__(self, most: int) -> None:
        self.now = min(most, FEWEST)
        self._most = most
        self._proven = self.now
        self._best = 0.0
        self._try_at = 0.0
        self.slack(0.0)

    def slack(self, now: float) -> None:
        """Not all that were allowed were made: what got done until now tells nothing."""
        self._since, self._done = now, 0

    def beat(self, now: float) -> bool:
        """All that are allowed are under way. True when they take so long that more are allowed from now on."""
        if self.now == self._most or now - self._since < SLOW_SECONDS or self._done >= self.now:
            return False
        self.now = self._proven = min(self._most, 2 * self.now)
        self._best = 0.0
        self.slack(now)
        return True

    def done(self, now: float) -> bool:
        """One more is done. True when more are allowed from now on."""
        self._done += 1
        took = now - self._since
        if self.now == self._most == self._proven or took < WINDOW_SECONDS or self._done < 2 * self.now:
            return False
        rate = self._done / took
        self.slack(now)
        before = self.now
        if self.now > self._proven and rate < GAIN * self._best:
            self.now = self._proven
            self._try_at = now + HOLD_SECONDS
        else:
            self._proven, self._best = self.now, rate
            if now >= self._try_at:
                self.now = min(self._most, 2 * self.now)
        return self.now > before
