"""What workers tell each other about a target, through the queue's server: hints, whose loss costs time."""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any
from uuid import uuid4

from redis.exceptions import RedisError

from sync import queue
from sync.replication.whereabouts import Hints

log = logging.getLogger(__name__)

KEPT_SECONDS = 6 * 3600
# A worker that is gone holds up the others for no longer.
CLAIM_SECONDS = 15
TOLD_EVERY_SECONDS = 0.05
# For so long a server that failed is not asked again.
AWAY_SECONDS = 5.0

# For each digest: the repository that keeps it, "" when it is ours to move now, or false when somebody else moves it.
LOOK = """
local found = {}
for at, digest in ipairs(ARGV) do
    if at > 2 then
        local kept = redis.call('GET', KEYS[1] .. ':kept:' .. digest)
        local moving = KEYS[1] .. ':moving:' .. digest
        if kept then
            found[#found + 1] = kept
        elseif redis.call('SET', moving, ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', moving) == ARGV[1] then
            found[#found + 1] = ''
        else
            found[#found + 1] = false
        end
    end
end
return found
"""
RENEW = """
for at, digest in ipairs(ARGV) do
    local moving = KEYS[1] .. ':moving:' .. digest
    if at > 2 and redis.call('GET', moving) == ARGV[1] then
        redis.call('PEXPIRE', moving, ARGV[2])
    end
end
"""
RELEASE = RENEW.replace("redis.call('PEXPIRE', moving, ARGV[2])", "redis.call('DEL', moving)")


class SharedHints:
    """Whereabouts of one target (sync.replication.whereabouts), shared by all workers; `local` is its memory here."""

    def __init__(self, target_id: int, local: Hints) -> None:
        self._key = f"tcrconsole:target:{target_id}"
        self._local = local
        self._token = uuid4().hex
        self._lock = threading.Lock()
        self._claimed: set[str] = set()
        self._brought: dict[str, str] = {}
        self._given_up: set[str] = set()
        self._away_until = 0.0
        self._news = threading.Event()
        self._ended = False

    def look_up(self, digests: Iterable[str]) -> None:
        unknown = [one for one in dict.fromkeys(digests) if not self.kept_in(one) and one not in self._claimed]
        if unknown:
            self._look(unknown)

    def kept_in(self, digest: str) -> str:
        return self._local.kept_in(digest)

    def claim(self, digest: str) -> bool:
        """True as well when it turned out that somebody has brought it: then it can be mounted."""
        return digest in self._claimed or self._look([digest])

    def keeps(self, digest: str, repository: str) -> None:
        known = self._local.kept_in(digest)
        self._local.keeps(digest, repository)
        if known and digest not in self._claimed:
            return
        with self._lock:
            self._claimed.discard(digest)
            self._brought[digest] = repository
        self._news.set()

    def give_up(self, digest: str) -> None:
        with self._lock:
            self._claimed.discard(digest)
            self._given_up.add(digest)
        self._news.set()

    def forget(self, digest: str) -> None:
        """Who brings it then tells the others where it is now."""
        self._local.forget(digest)

    def _look(self, digests: Sequence[str]) -> bool:
        """Whether none of them is being moved by somebody else; everything is ours while the server is away."""
        found = self._ask(LOOK, digests)
        if found is None:
            return True
        for digest, answer in zip(digests, found, strict=True):
            if answer:
                self._local.keeps(digest, answer.decode())
            elif answer is not None:
                with self._lock:
                    self._claimed.add(digest)
                    self._given_up.discard(digest)
        return None not in found

    def _ask(self, script: str, digests: Iterable[str]) -> Any:
        """None when the server does not answer: that is told once in a while."""
        if monotonic() < self._away_until:
            return None
        try:
            return queue.server().eval(script, 1, self._key, self._token, CLAIM_SECONDS * 1000, *digests)
        except RedisError as error:
            self._stay_away(error)
            return None

    def _stay_away(self, error: RedisError) -> None:
        self._away_until = monotonic() + AWAY_SECONDS
        log.warning("workers do not hear of each other's uploads, so some may happen twice: %s", error)

    def tell(self) -> None:
        """Until end(): tells the others what was brought or given up, and renews what we are moving."""
        renew_at = monotonic() + CLAIM_SECONDS / 3
        while not self._ended:
            self._news.wait(CLAIM_SECONDS / 3)
            threading.Event().wait(TOLD_EVERY_SECONDS)  # some more may come
            self._tell_news()
            if monotonic() >= renew_at:
                renew_at = monotonic() + CLAIM_SECONDS / 3
                if self._claimed:
                    self._ask(RENEW, tuple(self._claimed))

    def _tell_news(self) -> None:
        with self._lock:
            self._news.clear()
            brought, self._brought = self._brought, {}
            released = [*brought, *self._given_up]
            self._given_up = set()
        if not released or monotonic() < self._away_until:
            return
        try:
            with queue.server().pipeline(transaction=False) as pipe:
                for digest, repository in brought.items():
                    pipe.set(f"{self._key}:kept:{digest}", repository, ex=KEPT_SECONDS)
                pipe.eval(RELEASE, 1, self._key, self._token, 0, *released)
                pipe.execute()
        except RedisError as error:
            self._stay_away(error)

    def end(self) -> None:
        with self._lock:
            self._given_up |= self._claimed
            self._claimed = set()
        self._ended = True
        self._news.set()


def leave_note(name: str, text: str, seconds: int) -> None:
    """For other processes, for so long; lost while the server is away."""
    with suppress(RedisError):
        queue.server().set(f"tcrconsole:note:{name}", text, ex=seconds)


def note_left(name: str) -> str:
    """Blank where there is none, or the server does not answer."""
    try:
        found: Any = queue.server().get(f"tcrconsole:note:{name}")
    except RedisError:
        return ""
    return found.decode() if found else ""


@contextmanager
def shared_hints(target_id: int, local: Hints) -> Iterator[SharedHints]:
    """For the time of a slice; afterwards nothing is claimed any more."""
    hints = SharedHints(target_id, local)
    telling = threading.Thread(target=hints.tell, name="hints", daemon=True)
    telling.start()
    try:
        yield hints
    finally:
        hints.end()
        telling.join(2 * TOLD_EVERY_SECONDS + 1)
