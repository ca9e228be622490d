"""Old tasks and audit entries go, in pieces so small that nobody waits for them; so do sessions and wrong passwords
that are of no more use."""

from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.admin.models import LogEntry as AdminEntry
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.utils import timezone

from sync.models import OPEN, LogLine, Removal, SyncTask, TaskRepository, TaskResource
from sync.services import audit

KEPT_PER_RULE = 20
ROWS_AT_ONCE = 2000
# Where nothing was found to prune, nobody looks again for so long.
PAUSE, PAUSE_SECONDS = "nothing-to-prune", 600


def prune() -> int:
    """Deletes a piece of what is oldest; how many rows."""
    if cache.get(PAUSE):
        return 0
    gone = _prune_tasks() + audit.prune() + _prune_admin_log() + _prune_sessions() + _prune_attempts()
    if not gone:
        cache.set(PAUSE, True, PAUSE_SECONDS)
    return gone


def _prune_tasks() -> int:
    """The newest tasks of each rule stay, however old.

    What a rule has brought (deliveries) is kept apart from its tasks.
    """
    if not settings.TASK_DAYS:
        return 0
    task = _old().order_by("pk").first()
    if task is None:
        return 0
    parts: tuple[QuerySet[Model], ...] = (
        LogLine.objects.filter(task=task),
        TaskResource.objects.filter(repository__task=task),
        Removal.objects.filter(task=task),
        TaskRepository.objects.filter(task=task),
    )
    for rows in parts:
        if gone := _delete(rows.order_by("pk")):
            return gone
    task.delete()
    return 1


def _prune_admin_log() -> int:
    """What the admin site notes by itself, beside the audit."""
    if not settings.AUDIT_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.AUDIT_DAYS)
    return _delete(AdminEntry.objects.filter(action_time__lt=before).order_by("pk"))


def _prune_sessions() -> int:
    """Those that have ended by themselves; who signs out deletes theirs at once."""
    return _delete(Session.objects.filter(expire_date__lt=timezone.now()).order_by("expire_date"))


def _prune_attempts() -> int:
    """Wrong passwords: the count begins anew after the time that it locks somebody out for."""
    before = timezone.now() - settings.AXES_COOLOFF_TIME
    return _delete(AccessAttempt.objects.filter(attempt_time__lt=before).order_by("pk"))


def _delete(rows: QuerySet[Any]) -> int:
    """The first of them, by their keys, so that no lock is held for longer than these take."""
    found = list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE])
    if found:
        rows.model._default_manager.filter(pk__in=found).delete()
    return len(found)


def _old() -> QuerySet[SyncTask]:
    newer = SyncTask.objects.filter(rule=OuterRef("rule"), pk__gt=OuterRef("pk")).order_by("pk").values("pk")
    ended = SyncTask.objects.exclude(status__in=OPEN).filter(
        finished_at__lt=timezone.now() - timedelta(days=settings.TASK_DAYS)
    )
    enough = ended.alias(nth=Subquery(newer[KEPT_PER_RULE - 1 : KEPT_PER_RULE])).filter(nth__isnull=False)
    return enough | ended.alias(nth=Subquery(newer[KEPT_PER_RULE - 1 : KEPT_PER_RULE])).filter(rule=None)
