"""Whether the parts that tasks need are there."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.db import Error, connection

from sync import pools, queue, queue_state
from sync.models import Instance, SyncRule, SyncTask


def worker_count() -> int | None:
    """Workers alive on all machines; None when the queue cannot be reached."""
    return queue.worker_count()


@dataclass(frozen=True)
class Need:
    """The pool that a rule needs workers of, blank for the default one. target: key and name of that instance, where it
    is what names the pool."""

    pool: str
    target: tuple[int, str] | None = None

    def told(self, sees: Callable[[int], bool]) -> str:
        """A pool that an instance names is no more told than the instance itself."""
        if self.target and not sees(self.target[0]):
            return f"No worker that takes tasks to {self.target[1]} is running: they wait."
        pool = f"pool {self.pool}" if self.pool else "the default pool"
        return f"No worker of {pool} is running: tasks wait."


def need_of(of: SyncRule | SyncTask) -> Need:
    """Of a task as it is now: what it needed when it was opened does not count."""
    rule = of.rule if isinstance(of, SyncTask) else of
    pool = (rule.pool if rule else "") or (of.source.pool if of.source else "")
    return _need(pool, of.target.pool, of.target.pk, of.target.name) if of.target else Need(pool)


def _need(pool: str, targets_pool: str, target: int, name: str) -> Need:
    return Need(pool) if pool or not targets_pool else Need(targets_pool, (target, name))


@dataclass(frozen=True)
class Staffing:
    """workers: alive, by pool; None when the queue cannot be reached. used: what the rules of each source need."""

    workers: Counter[str] | None
    used: dict[int, set[Need]]

    def missing(self, source: int | None, sees: Callable[[int], bool] = lambda _: True) -> list[str]:
        """Why tasks of the rules that start at this instance will wait, in sentences."""
        return self.missing_for(self.used.get(source or 0, ()), sees)

    def missing_for(self, needs: Iterable[Need], sees: Callable[[int], bool] = lambda _: True) -> list[str]:
        """Of these, those that nobody serves. sees: whether whoever reads it may see the instance of this key."""
        if not self.workers:
            return ["No worker is running; tasks will wait."]
        missing = [need for need in needs if not self.workers[need.pool]]
        return sorted({need.told(sees) for need in missing})


def staffing() -> Staffing:
    """One question to the database and one to the queue: to be kept for some seconds."""
    return Staffing(queue.workers_by_pool(), _used())


def _used() -> dict[int, set[Need]]:
    used: defaultdict[int, set[Need]] = defaultdict(set)
    rules = SyncRule.objects.filter(enabled=True).order_by()
    named = rules.values_list("source", "pool", "source__pool", "target__pool", "target", "target__name").distinct()
    for source, own, sources, targets, target, name in named:
        used[source].add(_need(own or sources, targets, target, name))
    return dict(used)


def pools_named() -> set[str]:
    """By rules and instances, the default one (blank) not."""
    named = SyncRule.objects.order_by().values_list("pool").union(Instance.objects.order_by().values_list("pool"))
    return {pool for (pool,) in named} - {""}


def parts() -> dict[str, bool]:
    """What tasks need, and whether it is there. Without the queue nothing is known of those who work for it.

    Workers are there when somebody takes from each queue; pools, when somebody serves each that an enabled rule needs.
    """
    try:
        state = queue_state.inspect()
    except queue_state.QueueUnreachable:
        away = dict.fromkeys(("queue", "workers", "scheduler", "pools"), False)
        return {"database": _database_answers(), **away}
    heard = frozenset[str]().union(*(worker.queues for worker in state.workers))
    answers = _database_answers()
    return {
        "database": answers,
        "queue": True,
        "workers": heard.issuperset(queue.QUEUES),
        "scheduler": bool(state.schedulers),
        "pools": answers and _pools_used() <= set(pools.crew(worker.queues for worker in state.workers)),
    }


def _pools_used() -> set[str]:
    """The default one not."""
    return {need.pool for needs in _used().values() for need in needs} - {""}


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True
