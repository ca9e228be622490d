"""Sums for Prometheus: added to when a task ends and when a registry fails, read without counting anything."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import F, Model, Sum, Value

from sync.models import OPEN, ErrorTally, SyncTask, TaskTally
from sync.oci.errors import Cancelled, OciError

OPEN_ONES = "open"


def task_ended(task: SyncTask) -> None:
    """Part of the transaction that ends it. Of instances that are gone nothing is kept."""
    if task.source_id and task.target_id:
        counted = {field: getattr(task, field) for field in TaskTally.FIELDS}
        _add(TaskTally, {"tasks": 1, **counted}, source_id=task.source_id, target_id=task.target_id, status=task.status)


def failed(instance_id: int | None, kinds: Mapping[str, int]) -> None:
    """So many failures by kind, met at the instance."""
    if instance_id:
        for kind, number in sorted(kinds.items()):
            _add(ErrorTally, {"number": number}, instance_id=instance_id, kind=kind)


def kind_of(error: OciError) -> str:
    return type(error).__name__


class Failures:
    """Of one worker's turn: gathered, and written now and then."""

    def __init__(self, task: SyncTask) -> None:
        self._task = task
        self._kinds: dict[str, Counter[str]] = {"source": Counter(), "target": Counter()}

    def met(self, error: OciError) -> None:
        if error.side in self._kinds and not isinstance(error, Cancelled):
            self._kinds[error.side][kind_of(error)] += 1

    def flush(self) -> None:
        for side, kinds in self._kinds.items():
            if kinds:
                failed(getattr(self._task, f"{side}_id"), kinds)
                kinds.clear()


def totals() -> Iterator[dict[str, Any]]:
    """By instances and end; of tasks that are open what they have done so far, under OPEN_ONES.

    One statement: a task that ends meanwhile is counted once.
    """
    columns = ("source__name", "target__name", "end", "number", *(f"sum_{field}" for field in TaskTally.FIELDS))
    ended = TaskTally.objects.order_by().annotate(
        end=F("status"), number=F("tasks"), **{f"sum_{field}": F(field) for field in TaskTally.FIELDS}
    )
    running = SyncTask.objects.filter(status__in=OPEN, source__isnull=False, target__isnull=False).order_by()
    so_far = running.values("source__name", "target__name").annotate(
        end=Value(OPEN_ONES), number=Value(0), **{f"sum_{field}": Sum(field) for field in TaskTally.FIELDS}
    )
    for row in ended.values_list(*columns).union(so_far.values_list(*columns), all=True):
        yield dict(zip((name.removeprefix("sum_") for name in columns), row, strict=True))


def _add(model: type[Model], numbers: Mapping[str, int], **key: Any) -> None:
    manager = model._default_manager
    more = {field: F(field) + number for field, number in numbers.items()}
    if not manager.filter(**key).update(**more):
        manager.get_or_create(**key)
        manager.filter(**key).update(**more)
