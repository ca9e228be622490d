"""Instances, rules and tasks for tests of the services."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

from django.db import connection

from sync.models import Instance, SyncRule, SyncTask, TaskRepository, Trigger
from sync.services.execute import run_slice
from sync.services.trigger import open_task

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
    run_slice(task, seconds=float("inf"))
    task.refresh_from_db()
    return task


def task_with_rows(rule: SyncRule, *names: str) -> SyncTask:
    """A running task whose repositories are known and wait."""
    task = open_here(rule)
    task.start()
    TaskRepository.objects.bulk_create(TaskRepository(task=task, name=name, target_name=name) for name in names)
    SyncTask.objects.filter(pk=task.pk).update(repository_count=len(names))
    task.refresh_from_db()
    return task


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
