"""Instances that do not answer: their tasks wait and go on by themselves.

The state is the instance's own, so that a thousand tasks for it cost one question at a time: whoever comes first when
`next_try_at` has passed asks, and all others go on waiting.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from sync.models import Instance, SyncTask
from sync.models.reason import in_full
from sync.oci.errors import Cancelled, OciError
from sync.services import tallies

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=15)
TOLD_AGAIN = timedelta(minutes=5)


def may_ask(instance: Instance) -> bool:
    """Whether the instance is to be spoken to; of several that ask at the same moment after an outage, one may."""
    now = timezone.now()
    instance.refresh_from_db(fields=["down_since", "next_try_at", "down_reason"])
    if instance.next_try_at is None:
        return True
    mine = Instance.objects.filter(pk=instance.pk, next_try_at=instance.next_try_at, next_try_at__lte=now)
    return bool(mine.update(next_try_at=_next_try(instance)))


def went_down(instance: Instance, error: OciError) -> None:
    """It did not answer: everything for it waits, after each try for a quarter as long as it has been away."""
    now = timezone.now()
    tallies.failed(instance.pk, {tallies.kind_of(error): 1})
    Instance.objects.filter(pk=instance.pk, down_since=None).update(down_since=now)
    instance.refresh_from_db(fields=["down_since"])
    Instance.objects.filter(pk=instance.pk).update(next_try_at=_next_try(instance), down_reason=str(error))


def came_back(instance: Instance) -> None:
    """It answers, or somebody changed how it is reached."""
    down = Q(down_since=None, next_try_at=None)
    Instance.objects.filter(~down, pk=instance.pk).update(down_since=None, next_try_at=None, down_reason="")


def works(instance: Instance) -> None:
    """It took our credential just now. Told once in a while: what a test of the connection found is older then."""
    told = Q(healthy=True, checked_at__gt=timezone.now() - TOLD_AGAIN)
    if Instance.objects.filter(~told, pk=instance.pk).exists():
        note_health(instance)


def refuses(instance: Instance, error: OciError) -> None:
    """It answers a task in a way that somebody must do something about. What heals by itself is an outage at most."""
    if not (error.retryable or isinstance(error, Cancelled)):
        # Waiting is no use any more: else it would be told as away, and since when, instead of this.
        came_back(instance)
        tallies.failed(instance.pk, {tallies.kind_of(error): 1})
        note_health(instance, error.reason)


def note_health(instance: Instance, problem: str = "", **measured: int) -> None:
    """What was found out about the instance just now, by a test of the connection or by a task."""
    Instance.objects.filter(pk=instance.pk).update(
        checked_at=timezone.now(), healthy=not problem, health_reason=problem, **measured
    )


def _next_try(instance: Instance) -> datetime:
    now = timezone.now()
    away = now - (instance.down_since or now)
    return now + min(max(away / 4, FIRST_WAIT), LONGEST_WAIT)


def not_asked_now(tasks: "QuerySet[SyncTask]") -> "QuerySet[SyncTask]":
    """Those of which a side is away and not to be asked yet."""
    now = timezone.now()
    return tasks.filter(Q(source__next_try_at__gt=now) | Q(target__next_try_at__gt=now))


def waited_too_long(tasks: "QuerySet[SyncTask]") -> "QuerySet[SyncTask]":
    """Those that have waited for a side for longer than a task may."""
    limit = timezone.now() - timedelta(hours=settings.OUTAGE_HOURS)
    away = Q(source__down_since__lte=limit) | Q(target__down_since__lte=limit)
    return tasks.filter(away, created_at__lte=limit)


def told(task: SyncTask) -> OciError:
    """Why a task that has waited too long fails."""
    sides = [side for side in (task.source, task.target) if side and side.down_since]
    reasons = " ".join(in_full(side.down_reason) for side in sides)
    return OciError(
        f"{reasons} Nothing has changed for {settings.OUTAGE_HOURS:g} hours.",
        hint="Retry what failed when it answers again.",
    )
