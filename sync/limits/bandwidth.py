"""Bytes per second to and from an instance, shared by all workers, taken from the queue's server in batches."""

import threading
from time import monotonic

from sync.limits.server import ask
from sync.oci.guest import PACED_BLOCK

# What one batch lasts for; so much may also go ahead of its time.
BATCH_SECONDS = 0.1
# A backlog cannot be longer: after a jump of the server's clock nobody waits for ever.
BACKLOG_SECONDS = 300

# ARGV: bytes, bytes per second, the longest backlog. Gives the seconds from now in which these bytes, and all that was
# taken before, will have gone.
TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local gone = math.max(now, math.min(tonumber(redis.call('GET', KEYS[1]) or 0), now + ARGV[3])) + ARGV[1] / ARGV[2]
redis.call('SET', KEYS[1], string.format('%.6f', gone), 'EX', math.ceil(gone - now) + 1)
return string.format('%.6f', gone - now)
"""


class Budget:
    """What this process may still send and receive: a batch at a time. Safe for many threads."""

    def __init__(self, instance: int, bytes_per_second: int) -> None:
        self._key = f"tcrconsole:bytes:{instance}"
        self._rate = bytes_per_second
        self._batch = max(PACED_BLOCK, int(bytes_per_second * BATCH_SECONDS))
        self._lock = threading.Lock()
        self._left = 0
        self._free_at = 0.0
        self._gone_at = 0.0

    def spend(self, size: int) -> float:
        """Seconds to wait until so many bytes may go."""
        with self._lock:
            if size > self._left:
                taken = max(self._batch, size)
                seconds = self._take(taken)
                self._free_at = monotonic() + seconds - BATCH_SECONDS
                self._left += taken
            self._left -= size
            return max(0.0, self._free_at - monotonic())

    def _take(self, size: int) -> float:
        """Seconds until these will have gone; by our own account while the server is away."""
        answer = ask(TAKE, self._key, size, self._rate, BACKLOG_SECONDS)
        if answer is not None:
            return float(answer)
        now = monotonic()
        self._gone_at = max(now, self._gone_at) + size / self._rate
        return self._gone_at - now
