"""Old tasks and audit entries go, in pieces so small that nobody waits for them."""

from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.utils import timezone

from sync.models import OPEN, LogLine, SyncTask, TaskRepository, TaskResource
from sync.services import audit

KEPT_PER_RULE = 20
ROWS_AT_ONCE = 2000
# Where nothing was found to prune, nobody looks again for so long.
PAUSE, PAUSE_SECONDS = "nothing-to-prune", 600


def prune() -> int:
    """Deletes a piece of what is oldest; how many rows."""
    if cache.get(PAUSE):
        return 0
    gone = _prune_tasks() + audit.prune()
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
        TaskRepository.objects.filter(task=task),
    )
    for rows in parts:
        found = list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])
        if found:
            rows.model._default_manager.filter(pk__in=found).delete()
            return len(found)
    task.delete()
    return 1


def _old() -> QuerySet[SyncTask]:
    newer = SyncTask.objects.filter(rule=OuterRef("rule"), pk__gt=OuterRef("pk")).order_by("pk").values("pk")
    ended = SyncTask.objects.exclude(status__in=OPEN).filter(
        finished_at__lt=timezone.now() - timedelta(days=settings.TASK_DAYS)
    )
    enough = ended.alias(nth=Subquery(newer[KEPT_PER_RULE - 1 : KEPT_PER_RULE])).filter(nth__isnull=False)
    return enough | ended.alias(nth=Subquery(newer[KEPT_PER_RULE - 1 : KEPT_PER_RULE])).filter(rule=None)
