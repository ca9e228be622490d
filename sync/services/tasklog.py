"""The log of a task: rows, written as things happen, bounded."""

import logging
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F, OuterRef, Subquery

from sync.models import LogLine, SyncTask

log = logging.getLogger(__name__)

INFO, WARNING, ERROR = LogLine.Level.INFO, LogLine.Level.WARNING, LogLine.Level.ERROR
REPOSITORY_LENGTH = 255


def line(level: str, message: str, repository: str = "") -> LogLine:
    return LogLine(level=level, message=message, repository=repository[:REPOSITORY_LENGTH])


def say(task: SyncTask, level: str, message: str, repository: str = "") -> None:
    write(task, [line(level, message, repository)])


def write(task: SyncTask, lines: Sequence[LogLine]) -> None:
    """Adds the lines as far as the task may keep them: above TASK_LOG_LINES no more information, above twice none.

    Workers write in bunches: a line that comes later than a younger one of another worker has the time of that one, so
    that in the order of their numbers times never go back.
    """
    if not lines:
        return
    with transaction.atomic():
        SyncTask.objects.filter(pk=task.pk).update(log_lines=F("log_lines") + len(lines))
        newest = LogLine.objects.filter(task=OuterRef("pk")).order_by("-pk").values("at")[:1]
        offered, last = SyncTask.objects.values_list("log_lines", Subquery(newest)).get(pk=task.pk)
        _put_in_order(lines, last)
        LogLine.objects.bulk_create(_kept(task, lines, offered - len(lines)))


def _put_in_order(lines: Sequence[LogLine], last: datetime | None) -> None:
    for one in lines:
        last = one.at = max(one.at, last) if last else one.at


def _kept(task: SyncTask, lines: Sequence[LogLine], before: int) -> list[LogLine]:
    limit, kept = settings.TASK_LOG_LINES, []
    for number, one in enumerate(lines, before):
        one.task = task
        if number < limit or (one.level != INFO and number < 2 * limit):
            kept.append(one)
        if number in (limit, 2 * limit):
            kept.append(LogLine(task=task, at=one.at, level=WARNING, message=_full(number == limit)))
    return kept


def _full(for_information: bool) -> str:
    if for_information:
        return "The log is long: from here on it takes only warnings and errors. Each resource has its own outcome."
    return "The log is full: it takes no more lines. Each resource has its own outcome."
