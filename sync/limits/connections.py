"""Connections to an instance, shared by all workers: leases on the queue's server, renewed while a slice runs."""

import threading
from collections.abc import Callable
from uuid import uuid4

from sync.limits.server import ask
from sync.oci.guest import CONNECTIONS_PER_PROCESS

# A worker that was killed holds its connections no longer; the system has closed them by then.
LEASE_SECONDS = 10
# While the server is away, a slice that has no lease yet opens no more than this.
ALONE = 16

# ARGV: holder; the limit; what it may have open until it hears the answer; what it wants; what it needs at least;
# seconds until it counts no more. Gives what it may have open from now on, and how many others get nothing.
#
# All get what they need at least, in the order in which they came, and then one after the other one more each. Whoever
# has more than that is told so, and is counted with what he has until he asks again with less: so the sum is never
# above the limit.
LEASE = """
local id, limit, ceiling, wants = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
-- As text: JSON rounds a number of microseconds, and who came first would be forgotten.
local mine = {id = id, since = string.format('%.0f', now * 1000000)}
local holders, others = {mine}, 0
local stored = redis.call('HGETALL', KEYS[1])
for at = 1, #stored, 2 do
    local holder = cjson.decode(stored[at + 1])
    if stored[at] == id then
        mine.since = holder.since
    elseif holder.expires < now then
        redis.call('HDEL', KEYS[1], stored[at])
    else
        holders[#holders + 1] = holder
        others = others + holder.counted
    end
end
if wants == 0 and ceiling == 0 then
    redis.call('HDEL', KEYS[1], id)
    return {0, 0}
end
mine.wants, mine.least, mine.expires = wants, tonumber(ARGV[5]), now + ARGV[6]
table.sort(holders, function(a, b)
    local first, second = tonumber(a.since), tonumber(b.since)
    return first < second or first == second and a.id < b.id
end)

local left, share, admitted = limit, {}, {}
for _, holder in ipairs(holders) do
    if holder.least > left then break end
    admitted[#admitted + 1] = holder
    share[holder.id] = holder.least
    left = left - holder.least
end
local given = true
while given and left > 0 do
    given = false
    for _, holder in ipairs(admitted) do
        if left > 0 and share[holder.id] < holder.wants then
            share[holder.id] = share[holder.id] + 1
            left = left - 1
            given = true
        end
    end
end

local granted = math.max(0, math.min(share[id] or 0, limit - others))
mine.counted = math.max(granted, ceiling)
redis.call('HSET', KEYS[1], id, cjson.encode(mine))
redis.call('EXPIRE', KEYS[1], 60)
return {granted, #holders - #admitted}
"""


class Share:
    """The room of one client (sync.oci.guest.Room): its part of a lease."""

    def __init__(self, news: threading.Event) -> None:
        self._lock = threading.Lock()
        self._news = news
        self._listeners: list[Callable[[], None]] = []
        self._open = 0
        self.allowed = 0
        self.others_wait = False  # for their first connection

    def may_open(self) -> bool:
        with self._lock:
            if self._open >= self.allowed:
                return False
            self._open += 1
            return True

    def closed(self) -> None:
        with self._lock:
            over = self._open > self.allowed
            self._open -= 1
        if over:
            self._news.set()  # somebody waits for it

    def is_over(self) -> bool:
        return self._open > self.allowed

    def on_change(self, call: Callable[[], None]) -> None:
        self._listeners.append(call)

    @property
    def ceiling(self) -> int:
        """No more than so many are or come open before allow() is called."""
        with self._lock:
            return max(self._open, self.allowed)

    def allow(self, number: int) -> None:
        with self._lock:
            changed, self.allowed = number != self.allowed, number
        if changed:
            for call in self._listeners:
                call()


class Lease:
    """What one slice may have open to an instance, divided evenly among its clients: one, or two for both sides.

    All methods are called in the same thread; the shares are for any.
    """

    def __init__(self, instance: int, limit: int, sides: int, news: threading.Event) -> None:
        self._key = f"tcrconsole:connections:{instance}"
        self._id = uuid4().hex
        # One that waits for a connection while it holds one must get it: an instance copied to itself needs two.
        self._limit = max(limit, sides)
        self.shares = [Share(news) for _ in range(sides)]
        self.ready = threading.Event()

    @property
    def _ceiling(self) -> int:
        return sum(share.ceiling for share in self.shares)

    def renew(self) -> None:
        """Asks for the share that is fair now, and gives back at once what is above it and free."""
        sides, before = len(self.shares), self._ceiling
        answer = self._ask(before, wants=CONNECTIONS_PER_PROCESS * sides, least=sides)
        if answer is None:
            if not self.ready.is_set():
                self._divide(min(self._limit, ALONE))
                self.ready.set()
            return
        granted, turned_away = answer
        self._divide(granted)
        for share in self.shares:
            share.others_wait = turned_away > 0
        if granted >= sides:
            self.ready.set()
        if self._ceiling < max(before, granted):
            self.renew()

    def leave(self) -> None:
        """Gives everything back. What is open still is counted until the lease expires."""
        self._divide(0)
        self._ask(self._ceiling, wants=0, least=0)

    def _ask(self, ceiling: int, wants: int, least: int) -> tuple[int, int] | None:
        values = (self._id, self._limit, ceiling, wants, least, LEASE_SECONDS)
        answer: tuple[int, int] | None = ask(LEASE, self._key, *values)
        return answer

    def _divide(self, granted: int) -> None:
        sides = len(self.shares)
        for number, share in enumerate(self.shares):
            share.allow((granted + sides - 1 - number) // sides)
