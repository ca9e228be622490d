"""Claims: which worker has which repository of a task.

    Waiting -> Synchronizing            claim_next, by whoever updates the row first
    Synchronizing -> Waiting            give_back and fall, by the owner; take_back, when the owner is silent
    Synchronizing -> an end             sync.services.record, by the owner

Every write of a claimed row is conditional on its token: a worker that was taken for dead may still be running.
"""

from datetime import timedelta
from typing import Any

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from sync.models import Status, SyncTask, TaskRepository, TaskResource

SILENT_AFTER = timedelta(seconds=60)
MAX_ATTEMPTS = 3
# What an owner starts from. Bytes that were moved stay moved.
FRESH: dict[str, Any] = {count: 0 for count in TaskRepository.FIELDS if count != "moved_bytes"} | {
    "tags_planned": False,
    "left_out": 0,
    "vanished": 0,
    "reason": "",
}


def claim_next(task: SyncTask, token: str) -> TaskRepository | None:
    """The next waiting repository of the task, now ours and counted from nothing; None when no row waits."""
    waiting = TaskRepository.objects.filter(
        task=task, status=Status.WAITING, task__status=Status.SYNCHRONIZING, task__stop_requested=False
    )
    while (pk := waiting.order_by("pk").values_list("pk", flat=True).first()) is not None:
        # The condition stands on the row itself: PostgreSQL looks at it again when another claimer was first.
        claimed = TaskRepository.objects.filter(pk=pk, status=Status.WAITING).update(
            status=Status.SYNCHRONIZING,
            claim=token,
            heartbeat_at=timezone.now(),
            attempts=F("attempts") + 1,
            **FRESH,
        )
        if claimed:
            return _with_clean_slate(TaskRepository.objects.get(pk=pk))
    return None


def _with_clean_slate(row: TaskRepository) -> TaskRepository:
    """What an earlier owner copied stays copied; everything else is looked at again."""
    row.resources.exclude(outcome=TaskResource.Outcome.COPIED).delete()
    return row


def give_back(row: TaskRepository, token: str) -> None:
    """The owner leaves in peace: the attempt does not count."""
    owned = TaskRepository.objects.filter(pk=row.pk, claim=token, status=Status.SYNCHRONIZING)
    owned.update(status=Status.WAITING, claim="", attempts=Greatest(F("attempts") - 1, 0))


def fall(token: str, reason: str) -> bool:
    """The owner fell over a fault of the console: the attempt counts, and after three of them the row fails.

    False when the owner held nothing, so that no attempt was counted.
    """
    owned = TaskRepository.objects.filter(claim=token, status=Status.SYNCHRONIZING)
    given_up = owned.filter(attempts__gte=MAX_ATTEMPTS).update(**failed(reason))
    return bool(owned.filter(attempts__lt=MAX_ATTEMPTS).update(status=Status.WAITING, claim="") + given_up)


def failed(reason: str) -> dict[str, Any]:
    """A repository that is given up counts as one more resource, which failed: never 100 %."""
    return {
        "status": Status.FAILED,
        "claim": "",
        "planned": F("planned") + 1,
        "failed": F("failed") + 1,
        "reason": reason,
    }


def take_back() -> None:
    """Rows of silent owners wait again; after three lost owners they fail."""
    silent = TaskRepository.objects.filter(status=Status.SYNCHRONIZING, heartbeat_at__lt=timezone.now() - SILENT_AFTER)
    lost = (
        f"Given up: {MAX_ATTEMPTS} workers were lost while they worked on this repository. Look at the workers' logs."
    )
    silent.filter(attempts__gte=MAX_ATTEMPTS).update(**failed(lost))
    silent.filter(attempts__lt=MAX_ATTEMPTS).update(status=Status.WAITING, claim="")
