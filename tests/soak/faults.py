"""What is done to whom: the same sequence for the same seed, though not at the same instants of the work."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from signal import SIGQUIT

from redis import Redis
from redis.exceptions import RedisError

from tests.soak.parts import Keeper, Part
from tests.soak.stage import SILENT_SECONDS, Stage

PAUSE_SECONDS = (0.2, 3.0)
# Longer than a worker may be silent before others take over what it holds.
FROZEN_SECONDS = (SILENT_SECONDS + 1, SILENT_SECONDS + 4)


@dataclass(frozen=True)
class Strike:
    """To be dealt as soon as the part serves."""

    kind: str
    part: Part
    deal: Callable[[], None]

    def __str__(self) -> str:
        return self.kind if self.part.name in self.kind else f"{self.kind}: {self.part.name}"


class Faults:
    def __init__(self, stage: Stage, keeper: Keeper, random: Random, redis_url: str) -> None:
        self._stage = stage
        self._keeper = keeper
        self._random = random
        self._redis_url = redis_url
        kill = keeper.kill
        # How often of a hundred or so, by what it is called.
        self._kinds: dict[str, tuple[int, Callable[[], Strike]]] = {
            "worker killed": (28, lambda: self._ended(self._worker(), kill)),
            "worker frozen": (13, self._frozen),
            "worker told to leave": (9, lambda: self._ended(self._worker(), keeper.tell_to_leave)),
            "scheduler killed": (8, lambda: self._ended(stage.scheduler, kill)),
            "web killed": (8, lambda: self._ended(stage.web, kill)),
            "queue emptied": (9, self._emptied),
            "queue killed": (8, lambda: self._ended(stage.valkey, kill)),
            "source killed": (8, lambda: self._ended(stage.source, kill)),
            "target killed": (9, lambda: self._ended(stage.target, kill)),
        }
        if database := stage.database:
            # Immediate mode: no connection is told, nothing is written out; its log must bring it all back.
            immediately = partial(kill, number=SIGQUIT)
            self._kinds["PostgreSQL restarted"] = (9, lambda: self._ended(database, immediately))

    def draw(self) -> Strike:
        (self._drawn,) = self._random.choices(list(self._kinds), [weight for weight, _ in self._kinds.values()])
        return self._kinds[self._drawn][1]()

    def _worker(self) -> Part:
        return self._random.choice(self._stage.workers)

    def _ended(self, part: Part, how: Callable[[Part, float], None]) -> Strike:
        return Strike(self._drawn, part, partial(how, part, self._random.uniform(*PAUSE_SECONDS)))

    def _frozen(self) -> Strike:
        part = self._worker()
        return Strike(self._drawn, part, partial(self._keeper.freeze, part, self._random.uniform(*FROZEN_SECONDS)))

    def _emptied(self) -> Strike:
        return Strike(self._drawn, self._stage.valkey, self._empty_queue)

    def _empty_queue(self) -> None:
        with suppress(RedisError), Redis.from_url(self._redis_url, socket_timeout=5) as queue:
            queue.flushall()
