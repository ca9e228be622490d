"""The log of a task: rows, written as things happen, bounded."""

import logging
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import F

from sync.models import LogLine, SyncTask

log = logging.getLogger(__name__)

INFO, WARNING, ERROR = LogLine.Level.INFO, LogLine.Level.WARNING, LogLine.Level.ERROR
REPOSITORY_LENGTH = 255


def line(level: str, message: str, repository: str = "") -> LogLine:
    return LogLine(level=level, message=message, repository=repository[:REPOSITORY_LENGTH])


def say(task: SyncTask, level: str, message: str, repository: str = "") -> None:
    write(task, [line(level, message, repository)])


def write(task: SyncTask, lines: Sequence[LogLine]) -> None:
    """Adds the lines as far as the task may keep them: above TASK_LOG_LINES no more information, above twice none."""
    if not lines:
        return
    with transaction.atomic():
        SyncTask.objects.filter(pk=task.pk).update(log_lines=F("log_lines") + len(lines))
        offered = SyncTask.objects.values_list("log_lines", flat=True).get(pk=task.pk)
        LogLine.objects.bulk_create(_kept(task, lines, offered - len(lines)))


def _kept(task: SyncTask, lines: Sequence[LogLine], before: int) -> list[LogLine]:
    limit, kept = settings.TASK_LOG_LINES, []
    for number, one in enumerate(lines, before):
        one.task = task
        if number < limit or (one.level != INFO and number < 2 * limit):
            kept.append(one)
        if number in (limit, 2 * limit):
            kept.append(LogLine(task=task, level=WARNING, message=_full(number == limit)))
    return kept


def _full(for_information: bool) -> str:
    if for_information:
        return "The log is long: from here on it takes only warnings and errors. Each resource has its own outcome."
    return "The log is full: it takes no more lines. Each resource has its own outcome."
