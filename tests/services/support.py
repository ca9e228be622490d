"""Instances, rules and tasks for tests of the services."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from sync.models import Instance, SyncRule, SyncTask, TaskPart, TaskRepository, Trigger
from sync.services import claims, execute
from sync.services.execute import run_slice
from sync.services.trigger import open_task
from tests.fakes.registry import Answer, Received
from tests.support import Relay

Result = TypeVar("Result")


def make_instance(name: str, url: str, **fields: Any) -> Instance:
    return Instance.objects.create(name=name, region=f"region-of-{name}", url=url, **fields)


def make_rule(source: Instance, target: Instance, **fields: Any) -> SyncRule:
    return SyncRule.objects.create(**{"name": "everything", "source": source, "target": target} | fields)


def open_here(rule: SyncRule, **options: Any) -> SyncTask:
    """A task for this process: no queue hears of it."""
    return open_task(rule, Trigger.MANUAL, enqueue=False, **options).task


def run(rule: SyncRule, **options: Any) -> SyncTask:
    """Opens a task and executes it to its end."""
    task = open_here(rule, **options)
    while run_slice(task, seconds=float("inf")):
        assert task.is_open
    task.refresh_from_db()
    return task


def task_with_rows(rule: SyncRule, *names: str, tags: Sequence[str] | None = None) -> SyncTask:
    """A running task whose repositories are known and wait; `tags`: those of each, where they are listed already."""
    task = open_here(rule)
    task.start()
    task.parts.all().delete()
    planned = len(tags or ())
    rows = TaskRepository.objects.bulk_create(
        TaskRepository(task=task, name=name, target_name=name, listed=tags is not None, planned=planned)
        for name in names
    )
    TaskPart.objects.bulk_create(
        TaskPart(task=task, repository=row, tags=None if tags is None else list(tags)) for row in rows
    )
    SyncTask.objects.filter(pk=task.pk).update(repository_count=len(names), planned=planned * len(names))
    task.refresh_from_db()
    return task


def claim_one(task: SyncTask, token: str, busy: Collection[int] = ()) -> TaskPart | None:
    return next(iter(claims.claim(task, token, busy)), None)


def work(task: SyncTask, **options: Any) -> bool:
    """One slice, as a worker that knows nothing yet does it; `task` is as it is afterwards."""
    more = run_slice(SyncTask.objects.get(pk=task.pk), patient=True, **options)
    task.refresh_from_db()
    return more


def leave_in_the_midst(task: SyncTask, source: str, repository: str, *held: str) -> bool:
    """A slice of a worker that is told to leave once more than two tags are written down.

    The source gives none of the tags that begin with one of `held` before, however late the worker hears of it.
    """
    copied, told = [0], Event()

    def leaving() -> bool:
        if copied[-1] > 2:
            told.set()
        return told.is_set()

    with Relay(source) as relay:

        def hold(request: Received) -> Answer:
            told.wait(30)
            return relay.forward(request)

        for start in held:
            relay.script("GET", f"/v2/{repository}/manifests/{start}", hold)
        assert task.source is not None
        reached_at(task.source, relay.url)
        more = run_slice(task, watch=lambda now: copied.append(now.copied), leaving=leaving)
        reached_at(task.source, source)
    return more


def make_due(task: SyncTask) -> None:
    """The time for which something of the task was put off has passed."""
    TaskPart.objects.filter(task=task).exclude(not_before=None).update(not_before=timezone.now())


def reached_at(instance: Instance, url: str) -> None:
    instance.url = url
    instance.save()


def assert_sums_agree(task: SyncTask) -> None:
    """What the task says is the sum of what its repositories say."""
    task.refresh_from_db()
    sums = task.repositories.aggregate(**{field: Sum(field, default=0) for field in SyncTask.FIELDS})
    assert sums == {field: getattr(task, field) for field in SyncTask.FIELDS}


def in_threads(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Calls all of them at the same moment, each in a thread with a database connection of its own."""
    together = Barrier(len(calls))

    def call(one: Callable[[], Result]) -> Result:
        together.wait(10)
        try:
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def swept() -> list[SyncTask]:
    """The tasks on which the sweep finds that somebody can go on."""
    return [idle.task for idle in execute.sweep()]
