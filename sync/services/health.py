"""Whether the parts that tasks need are there."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import Error, connection

from sync import queue, queue_state
from sync.models import Instance, SyncRule


def worker_count() -> int | None:
    """Workers alive on all machines; None when the queue cannot be reached."""
    return queue.worker_count()


@dataclass(frozen=True)
class Staffing:
    """workers: alive, by pool; None when the queue cannot be reached. used: the pools of the rules of each source."""

    workers: Counter[str] | None
    used: dict[int, set[str]]

    def missing(self, source: int | None) -> list[str]:
        """Why tasks of the rules that start at this instance will wait, in sentences."""
        if not self.workers:
            return ["No worker is running; tasks will wait."]
        return self.missing_for(self.used.get(source or 0, ()))

    def missing_for(self, pools: Iterable[str]) -> list[str]:
        """Of these pools, those that nobody serves although there are other workers."""
        missing = [pool for pool in sorted(pools) if self.workers and not self.workers[pool]]
        return [f"No worker of {_named(pool)} is running: tasks wait." for pool in missing]


def staffing() -> Staffing:
    """One question to the database and one to the queue: to be kept for some seconds."""
    used: defaultdict[int, set[str]] = defaultdict(set)
    rules = SyncRule.objects.filter(enabled=True).order_by()
    for source, *named in rules.values_list("source", "pool", "source__pool", "target__pool").distinct():
        used[source].add(next(filter(None, named), ""))
    return Staffing(queue.workers_by_pool(), dict(used))


def pools_named() -> set[str]:
    """By rules and instances, the default one (blank) not."""
    named = SyncRule.objects.order_by().values_list("pool").union(Instance.objects.order_by().values_list("pool"))
    return {pool for (pool,) in named} - {""}


def _named(pool: str) -> str:
    return f"pool {pool}" if pool else "the default pool"


def parts() -> dict[str, bool]:
    """What tasks need, and whether it is there. Without the queue nothing is known of those who work for it.

    Workers are there when somebody takes from each queue; those of pools are another matter, as are their registries.
    """
    try:
        state = queue_state.inspect()
    except queue_state.QueueUnreachable:
        return {"database": _database_answers(), "queue": False, "workers": False, "scheduler": False}
    heard = frozenset[str]().union(*(worker.queues for worker in state.workers))
    return {
        "database": _database_answers(),
        "queue": True,
        "workers": heard.issuperset(queue.QUEUES),
        "scheduler": bool(state.schedulers),
    }


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True
