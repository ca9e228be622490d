"""Requests that somebody may make in a minute, counted over all web processes by the queue's server."""

import threading
from math import ceil
from time import monotonic

from sync.limits.server import ask

WINDOW_SECONDS = 60
# Of so many who asked a process remembers how often, while the server is away.
REMEMBERED = 1000

# ARGV: how many in a window, its milliseconds. Gives the milliseconds until the window ends, 0 for who may go on.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if count <= tonumber(ARGV[1]) then
    return 0
end
return math.max(1, redis.call('PTTL', KEYS[1]))
"""

_lock = threading.Lock()
# While the server is away: how many since when, by who asks.
_counted: dict[str, tuple[int, float]] = {}


def seconds_to_wait(who: str, at_most: int) -> int:
    """0 for who has asked less often than that in this minute; 0 allows any number."""
    if not at_most:
        return 0
    milliseconds = ask(COUNT, f"tcrconsole:requests:{who}", at_most, WINDOW_SECONDS * 1000)
    return _by_itself(who, at_most) if milliseconds is None else ceil(milliseconds / 1000)


def _by_itself(who: str, at_most: int) -> int:
    now = monotonic()
    with _lock:
        count, since = _counted.get(who, (0, now))
        if now - since >= WINDOW_SECONDS:
            count, since = 0, now
        if len(_counted) >= REMEMBERED and who not in _counted:
            _counted.clear()
        _counted[who] = count + 1, since
    return 0 if count < at_most else ceil(WINDOW_SECONDS - (now - since))
