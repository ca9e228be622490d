"""What an open task waits for: that it does so is written down by workers, and told to people who look at it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from sync.models import OPEN, Instance, Status, SyncTask, TaskPart, TaskRepository
from sync.services import claims, removals, tasklog

# Of what was put off so many tags are told.
TAGS_SHOWN = 50


def begin(task: SyncTask, sentence: str) -> None:
    """All of it waits from now on: for what, the sentence says."""
    SyncTask.objects.filter(pk=task.pk, waits_since=None).update(waits_since=timezone.now())
    if SyncTask.objects.filter(pk=task.pk).exclude(reason=sentence).update(reason=sentence):
        tasklog.say(task, tasklog.WARNING, f"{sentence} What waits goes on by itself when it answers again.")


def end(task: SyncTask) -> None:
    """Both sides answer."""
    if task.stop_being_away():
        tasklog.say(task, tasklog.INFO, "Both sides answer again: it goes on.")


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


def is_waiting() -> Q:
    """Tasks of which `of_task` tells a wait."""
    asks = removals.is_asking_for()
    parts = TaskPart.objects.filter(task=OuterRef("pk"))
    idle = ~Exists(parts.filter(~Q(claim="") | Q(not_before=None) | Q(not_before__lte=Now())))
    away = Q(source__down_since__isnull=False) | Q(target__down_since__isnull=False)
    return Q(status__in=OPEN, stop_requested=False) & (away | asks | (idle & Exists(parts)))


def fill_in(tasks: Iterable[SyncTask]) -> None:
    """Tells those that have begun, and wait, what for: one question to the database, none when none has begun."""
    begun = {task.pk: task for task in tasks if task.status == Status.SYNCHRONIZING}
    if not begun:
        return
    found = SyncTask.objects.filter(is_waiting(), pk__in=begun).select_related("source", "target")
    for task in found.defer("snapshot", "selection"):
        away = [side for side in (task.source, task.target) if side is not None and side.down_since is not None]
        later = Wait("", task.reason or "What is left failed, and is tried again in a moment.", None, None)
        begun[task.pk].wait = _for_instance(task, away[0]) if away else later


@dataclass(frozen=True)
class PutOff:
    """Resources of a repository that failed in a way that may heal; the first tags of them, and so many more."""

    tags: list[str]
    more: int
    attempts: int
    next_try_at: datetime


def put_off(repository: TaskRepository) -> PutOff | None:
    """What waits for its next try, and what comes first of it."""
    parts = list(repository.parts.filter(claim="").exclude(not_before=None).order_by("not_before", "pk")[:TAGS_SHOWN])
    if not parts:
        return None
    tags = [tag for part in parts for tag in part.tags or [""]]
    first = parts[0]
    return PutOff(tags[:TAGS_SHOWN], len(tags[TAGS_SHOWN:]), first.put_offs, first.not_before or timezone.now())


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
