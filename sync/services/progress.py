"""How fast a task comes forward, how many bytes there are to it, and how long it will go on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sync.models import Status, SyncTask, TaskPart, TaskRepository
from sync.models.task import Counts

# Before that any estimate is a guess.
LEAST_SECONDS, LEAST_PART = 30, 0.1
# With so many bytes to a resource it is they that take the time, not the questions asked about it.
HEAVY_BYTES = 1_000_000


@dataclass(frozen=True)
class Moving:
    """A resource that a worker is bringing: bytes sent, and those to be sent as far as its manifests told by now."""

    repository_id: int
    tag: str
    sent: int
    size: int


def under_way(task: SyncTask, repository_id: int | None = None) -> list[Moving]:
    """As the workers wrote it down about a second ago; of one repository if it is named."""
    parts = TaskPart.objects.filter(task_id=task.pk).exclude(claim="").exclude(repository=None)
    if repository_id is not None:
        parts = parts.filter(repository=repository_id)
    held = parts.order_by("pk").values_list("repository_id", "under_way")
    return [Moving(pk or 0, tag, sent, size) for pk, told in held for tag, (sent, size) in sorted(told.items())]


@dataclass(frozen=True)
class Estimate:
    """What is not known is None. total_bytes: those of the whole task, moved and to be moved."""

    total_bytes: int | None = None
    time_left: timedelta | None = None


def bytes_per_second(task: SyncTask) -> int | None:
    """On average while no side was away; None when nothing was moved."""
    seconds = task.time_at_work.total_seconds() if task.time_at_work else 0
    return round(task.moved_bytes / seconds) if task.moved_bytes and seconds >= 1 else None


def estimate(task: SyncTask) -> Estimate:
    """Nothing while too little is known, or the task waits for a side; see `sync.services.waiting`."""
    waits = task.wait is not None or task.waits_since is not None
    if not task.is_open or task.stop_requested or waits or not task.all_planned or task.time_at_work is None:
        return Estimate()
    moving = under_way(task)
    total = _total_bytes(task, moving, guesses=_has_worked(task))
    return Estimate(total or None, _time_left(task, total, task.time_at_work))


def bytes_of(task: SyncTask, repositories: Iterable[TaskRepository]) -> dict[int, int]:
    """The bytes of each repository that is worked on, moved and to be moved, by its key; of others nothing is known."""
    listed = [one for one in repositories if one.listed and one.status == Status.SYNCHRONIZING]
    if not task.is_open or not listed:
        return {}
    moving: defaultdict[int, list[Moving]] = defaultdict(list)
    for one in under_way(task):
        moving[one.repository_id].append(one)
    totals = {one.pk: _total_bytes(one, moving[one.pk], guesses=_has_worked(task)) for one in listed}
    return {pk: total for pk, total in totals.items() if total}


def _total_bytes(of: Counts, moving: Sequence[Moving], *, guesses: bool) -> int | None:
    """Of what is under way the sizes are known; what is not begun is taken to be like what is done."""
    to_come = sum(max(0, one.size - one.sent) for one in moving)
    not_begun = of.planned - of.done - len(moving)
    if not_begun <= 0:
        return of.moved_bytes + to_come
    if of.done < LEAST_PART * of.planned or not guesses:
        return None
    of_done = max(0, of.moved_bytes - sum(one.sent for one in moving))
    return of.moved_bytes + to_come + round(of_done / of.done * not_begun)


def _time_left(task: SyncTask, total: int | None, worked: timedelta) -> timedelta | None:
    """By bytes where they take the time, else by resources."""
    left = task.planned - task.done
    if left <= 0 or not _has_worked(task):
        return None
    bytes_left = (total or 0) - task.moved_bytes
    if total and bytes_left > HEAVY_BYTES * left:
        return worked * (bytes_left / task.moved_bytes) if task.moved_bytes >= LEAST_PART * total else None
    return worked * (left / task.done) if task.done >= LEAST_PART * task.planned else None


def _has_worked(task: SyncTask) -> bool:
    return task.time_at_work is not None and task.time_at_work.total_seconds() >= LEAST_SECONDS
