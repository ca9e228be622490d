"""Claims: which worker has which part of a task.

    waiting -> claimed      claim, by whoever comes first
    claimed -> waiting      give_back and fall, by the owner; take_back, when the owner is silent;
                            sync.services.writing, when the owner leaves something over
    claimed -> gone         sync.services.writing, when the owner is done; fail, when waiting makes no sense
    waiting -> gone         discard, when the task is stopped or given up

A part waits when its claim is blank. Every write of an owner is conditional on its token: a worker that was taken for
dead may still be running. Heartbeats are told and read by one clock, that of the database. Locks are taken in the order
part, repository, task, delivery.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from sync.models import OPEN, Status, SyncTask, TaskPart, TaskRepository, TaskResource
from sync.oci.errors import OciError
from sync.services import tasklog

MAX_LOST_OWNERS = 3
CHUNK = 500
LOST = OciError(f"Given up: {MAX_LOST_OWNERS} workers in a row were lost over this", hint="Look at the workers' logs.")


def claimable() -> QuerySet[TaskPart]:
    """Parts that anybody may claim now."""
    due = Q(not_before=None) | Q(not_before__lte=Now())
    return TaskPart.objects.filter(due, claim="", task__status__in=OPEN, task__stop_requested=False)


def ready(task: SyncTask | OuterRef) -> QuerySet[TaskPart]:
    """Those of the task."""
    return claimable().filter(task=task)


def owners(task: SyncTask) -> int:
    """How many workers work on the task."""
    return TaskPart.objects.filter(task=task).exclude(claim="").order_by().values("claim").distinct().count()


def owners_by_task() -> Counter[int]:
    """How many workers work on each task."""
    pairs = TaskPart.objects.exclude(claim="").order_by().values_list("task", "claim").distinct()
    return Counter(task for task, _ in pairs)


def claim(task: SyncTask, token: str, busy: Collection[int] = (), most: int = 1) -> list[TaskPart]:
    """At most so many waiting parts of the task, each of another repository, now ours; none of those in `busy`.

    There may be more when it gives fewer, as long as it gives some.
    """
    waiting = ready(task).exclude(repository__in=busy)
    heads = waiting.order_by().values("repository").annotate(head=Min("pk")).values("head")
    with transaction.atomic():
        # What another one is claiming is skipped: of a divided repository he takes the head, and we what follows.
        parts = _lock_some(waiting.filter(pk__in=heads), most) or _lock_some(waiting, 1)
        mine = TaskPart.objects.filter(pk__in=[part.pk for part in parts], claim="")
        mine.update(claim=token, heartbeat_at=Now(), not_before=None, under_way={})
        _begin([part.repository_id for part in parts if part.repository_id])
    for part in parts:
        part.claim = token
    return parts


def _lock_some(waiting: QuerySet[TaskPart], most: int) -> list[TaskPart]:
    rows = waiting.select_related("repository").order_by("pk")
    return list(rows.select_for_update(skip_locked=True, of=("self",))[:most])


def _begin(repository_ids: Sequence[int]) -> None:
    """Somebody works on these, and waits no longer for the next try of what has just been claimed."""
    rows = list(_locked(repository_ids).values_list("pk", "status", "next_try_at"))
    waiting = [pk for pk, status, _ in rows if status == Status.WAITING]
    if waiting:
        TaskRepository.objects.filter(pk__in=waiting).update(status=Status.SYNCHRONIZING)
    put_off = [pk for pk, _, next_try_at in rows if next_try_at is not None]
    if put_off:
        others = TaskPart.objects.filter(repository=OuterRef("pk")).exclude(not_before=None)
        TaskRepository.objects.filter(~Exists(others), pk__in=put_off).update(next_try_at=None, reason="")


def lock(repository_ids: Iterable[int]) -> None:
    """Before several of them are written in turn, in the caller's transaction."""
    list(_locked(list(repository_ids)).values_list("pk"))


def _locked(repository_ids: Collection[int]) -> QuerySet[TaskRepository]:
    """In one order, so that two never wait for each other; not the keys, as others may be adding resources."""
    return TaskRepository.objects.filter(pk__in=repository_ids).order_by("pk").select_for_update(no_key=True)


def beat(part: TaskPart) -> bool:
    """A sign of life of the owner; False when the part is no longer its own."""
    return bool(owned(part).update(heartbeat_at=Now()))


def owned(part: TaskPart) -> QuerySet[TaskPart]:
    """The part as long as the claim that we know of stands."""
    return TaskPart.objects.filter(pk=part.pk, claim=part.claim)


def settle(repository_ids: Collection[int]) -> None:
    """Gives repositories the status that their parts say, in the transaction that changed some of these."""
    rows = list(_locked(repository_ids).filter(status__in=OPEN).defer("digest_tags"))
    parts = TaskPart.objects.filter(repository__in=rows).order_by().values_list("repository_id", "claim").distinct()
    working: dict[int, bool] = {}
    for repository_id, owner in parts:
        working[repository_id] = working.get(repository_id, False) or bool(owner)
    becoming: defaultdict[Status, list[int]] = defaultdict(list)
    ended: defaultdict[Status, list[TaskRepository]] = defaultdict(list)
    for row in rows:
        if row.pk in working:
            becoming[Status.SYNCHRONIZING if working[row.pk] else Status.WAITING].append(row.pk)
        else:
            ended[_end_of(row)].append(row)
    for status, pks in becoming.items():
        TaskRepository.objects.filter(pk__in=pks).update(status=status)
    for status, over in ended.items():
        _end(status, over)


def _end(status: Status, rows: Sequence[TaskRepository]) -> None:
    pks = [row.pk for row in rows]
    TaskRepository.objects.filter(pk__in=pks).update(status=status, next_try_at=None, digest_tags=[])
    for row in rows:
        row.status = status
    for task_id, number in sorted(Counter(row.task_id for row in rows if row.needless).items()):
        SyncTask.objects.filter(pk=task_id).update(repository_count=F("repository_count") - number)


def _end_of(row: TaskRepository) -> Status:
    if row.done < row.planned:
        return Status.STOPPED
    if not row.failed:
        return Status.SUCCEEDED
    return Status.PARTIAL if row.succeeded else Status.FAILED


def count(numbers: Mapping[int, Mapping[str, int]]) -> None:
    """Adds to the counts of repositories, by their ids, in the caller's transaction."""
    alike: defaultdict[tuple[tuple[str, int], ...], list[int]] = defaultdict(list)
    for repository_id, counted in numbers.items():
        alike[tuple(sorted(counted.items()))].append(repository_id)
    for same, repository_ids in alike.items():
        _add(TaskRepository.objects.filter(pk__in=repository_ids), dict(same))


def count_in_task(task_id: int, numbers: Mapping[str, int]) -> None:
    """Adds to the counts of the task, as far as it has them, in the caller's transaction: after all its repositories.

    Who held the task while waiting for a repository would wait for one who holds that and waits for the task.
    """
    _add(SyncTask.objects.filter(pk=task_id), {name: numbers.get(name, 0) for name in SyncTask.FIELDS})


def _add(row: QuerySet[Any], numbers: Mapping[str, int]) -> None:
    changed = {name: F(name) + number for name, number in numbers.items() if number}
    if changed:
        row.update(**changed)


def give_back(token: str) -> None:
    """The owner leaves in peace: everything it has waits again."""
    _release(TaskPart.objects.filter(claim=token))


def fall(token: str, error: OciError) -> bool:
    """The owner fell over a fault of the console: it counts as lost. False when it held nothing."""
    return _lose(TaskPart.objects.filter(claim=token), error)


def take_back() -> None:
    """What silent owners hold waits again; what too many were lost over fails."""
    silent = Now() - timedelta(seconds=settings.SILENT_SECONDS)
    _lose(TaskPart.objects.filter(heartbeat_at__lt=silent).exclude(claim=""), LOST)


def _lose(parts: QuerySet[TaskPart], error: OciError) -> bool:
    held = list(parts.values_list("pk", "lost_owners"))
    for pk, lost_owners in held:
        # The condition is looked at again under the lock: the owner may have come back meanwhile.
        if lost_owners + 1 >= MAX_LOST_OWNERS:
            fail(parts.filter(pk=pk), error)
        else:
            _release(parts.filter(pk=pk), lost_owners=F("lost_owners") + 1)
    return bool(held)


def _release(parts: QuerySet[TaskPart], **changes: Any) -> None:
    with transaction.atomic():
        held = list(parts.select_for_update().order_by("repository_id", "pk").values_list("pk", "repository_id"))
        TaskPart.objects.filter(pk__in=[pk for pk, _ in held]).update(claim="", **changes)
        settle({repository_id for _, repository_id in held if repository_id})


def fail(parts: QuerySet[TaskPart], error: OciError) -> None:
    """What is left of these parts fails; it never counts as succeeded."""
    pks = list(parts.order_by("repository_id", "pk").values_list("pk", flat=True))
    for at in range(0, len(pks), CHUNK):
        with transaction.atomic():
            chunk = parts.filter(pk__in=pks[at : at + CHUNK]).order_by("repository_id", "pk")
            _fail(list(chunk.select_for_update(of=("self",)).select_related("repository")), error)


def _fail(doomed: Sequence[TaskPart], error: OciError) -> None:
    TaskPart.objects.filter(pk__in=[part.pk for part in doomed]).delete()
    of_tasks: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for part in doomed:
        if part.repository is None:
            SyncTask.objects.filter(pk=part.task_id).update(reason=str(error), waits_since=None)
        else:
            of_tasks[part.task_id].update(_fail_resources(part.repository, part.tags, error))
    settle({part.repository_id for part in doomed if part.repository_id})
    for task_id, numbers in of_tasks.items():
        count_in_task(task_id, numbers)


def _fail_resources(repository: TaskRepository, tags: list[str] | None, error: OciError) -> dict[str, int]:
    """A repository whose tags are not known counts as one more resource, of no tag. Returns what was counted."""
    failed, fields = TaskResource.Outcome.FAILED, failure_fields(error)
    TaskResource.objects.bulk_create(
        [TaskResource(repository=repository, tag=tag, outcome=failed, **fields) for tag in (tags or [""])],
        ignore_conflicts=True,
    )
    unplanned = 0 if repository.listed and tags else len(tags or [""])
    TaskRepository.objects.filter(pk=repository.pk).update(reason=str(error))
    numbers = {"planned": unplanned, "failed": len(tags or [""])}
    count({repository.pk: numbers})
    return numbers


def failure_fields(error: OciError) -> dict[str, Any]:
    """Why a resource failed, as TaskResource keeps it."""
    return {
        "side": error.side,
        "operation": error.operation[:600],
        "http_status": error.status,
        "code": error.code[:64],
        "reason": error.reason,
        "hint": error.hint,
        "retryable": error.retryable,
    }


def give_up(task: SyncTask, error: OciError) -> None:
    """Everything of the task that waits fails."""
    task.refresh_from_db(fields=["waits_since"])
    if not task.stop_being_away(str(error)):
        SyncTask.objects.filter(pk=task.pk).update(reason=str(error))
    tasklog.say(task, tasklog.ERROR, str(error))
    fail(TaskPart.objects.filter(task=task, claim=""), error)


def discard(task: SyncTask, reason: str) -> None:
    """Everything of the task that waits is Stopped."""
    while True:
        with transaction.atomic():
            waiting = TaskPart.objects.filter(task=task, claim="").order_by("pk")
            doomed = list(waiting.select_for_update(skip_locked=True).values_list("pk", "repository_id")[:CHUNK])
            if not doomed:
                return
            TaskPart.objects.filter(pk__in=[pk for pk, _ in doomed]).delete()
            _stop_repositories(sorted({repository for _, repository in doomed if repository}), reason)


def _stop_repositories(pks: Iterable[int], reason: str) -> None:
    held = TaskPart.objects.filter(repository=OuterRef("pk")).exclude(claim="")
    idle = TaskRepository.objects.filter(~Exists(held), pk__in=list(pks), status__in=OPEN)
    locked = list(idle.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    ended: dict[str, Any] = {"status": Status.STOPPED, "reason": reason, "next_try_at": None, "digest_tags": []}
    TaskRepository.objects.filter(pk__in=locked).update(**ended)
