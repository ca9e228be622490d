"""What an open task waits for, for people who look at it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from sync.models import Instance, SyncTask
from sync.services import claims, removals


@dataclass(frozen=True)
class Wait:
    """`what` does not answer, or failed in a way that may heal, for `reason`, a sentence. What is not known is None.

    instance: the side of the task that is away; None when it is something smaller, `what` is its name then.
    """

    what: str
    reason: str
    since: datetime | None
    next_try_at: datetime | None
    gives_up_at: datetime | None = None
    instance: Instance | None = None

    @property
    def seconds(self) -> int:
        """Until the next try."""
        return max(0, round((self.next_try_at - timezone.now()).total_seconds())) if self.next_try_at else 0


def of_task(task: SyncTask) -> Wait | None:
    """None while something of it is worked on, or can be. Sides are looked at as they were when they were fetched."""
    if not task.is_open or task.stop_requested:
        return None
    if removals.is_asked_for(task) and removals.is_asking(task):
        return Wait("your answer", task.reason, None, None)
    away = [side for side in (task.source, task.target) if side is not None and side.down_since is not None]
    if away:
        return _for_instance(task, away[0])
    wait = _for_source(task) if task.repository_count is None else _for_repository(task)
    # While others go on, that is the business of what was put off alone.
    return None if wait is None or claims.owners(task) or claims.ready(task).exists() else wait


def _for_instance(task: SyncTask, side: Instance) -> Wait:
    since = side.down_since or timezone.now()
    gives_up_at = max(since, task.created_at) + timedelta(hours=settings.OUTAGE_HOURS)
    return Wait(side.name, side.down_reason, since, side.next_try_at, gives_up_at, side)


def _for_source(task: SyncTask) -> Wait | None:
    """The list of the source's repositories was put off."""
    listing = task.parts.exclude(not_before=None).first()
    if listing is None:
        return None
    name = task.source.name if task.source else "the source"
    return Wait(name, task.reason, listing.put_off_since, listing.not_before)


def _for_repository(task: SyncTask) -> Wait | None:
    """Everything that is left was put off: what comes first."""
    first = task.repositories.exclude(next_try_at=None).order_by("next_try_at").first()
    return Wait(first.name, first.reason, None, first.next_try_at) if first else None
