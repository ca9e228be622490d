"""The one corridor: a push, a click and a command all open their task here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from django.db import transaction

from sync import queue
from sync.models import OPEN, SyncRule, SyncTask, Trigger

Selection = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Opened:
    """The task, and whether it was made now: a full task that waits or runs is not made twice."""

    task: SyncTask
    created: bool


def open_task(
    rule: SyncRule, trigger: Trigger, *, actor: str = "", selection: Selection = (), enqueue: bool = True
) -> Opened:
    """Writes the task with the rule as it is now; workers hear of it when the transaction commits.

    `selection` names (repository, tag) pairs to look at instead of everything that matches.
    `enqueue=False` leaves the execution to the caller.
    """
    with transaction.atomic():
        # Two clicks at once: the second waits here and then finds the task of the first.
        rule = SyncRule.objects.select_for_update().get(pk=rule.pk)
        if not selection:
            running = rule.tasks.filter(status__in=OPEN, selection=[], stop_requested=False).first()
            if running is not None:
                return Opened(running, created=False)
        task = SyncTask.objects.create(
            rule=rule,
            source_id=rule.source_id,
            target_id=rule.target_id,
            snapshot=rule.snapshot(),
            selection=[{"repository": repository, "tag": tag} for repository, tag in selection],
            trigger=trigger,
            actor=actor,
        )
        if enqueue:
            transaction.on_commit(partial(queue.enqueue_task, task.pk, queue_for(task)))
    return Opened(task, created=True)


def queue_for(task: SyncTask) -> str:
    """Pushes go before bulk work."""
    return "push" if task.trigger == Trigger.PUSH else "default"


def stop_task(task: SyncTask) -> bool:
    """A waiting task is Stopped at once, a running one within seconds. False when it had ended."""
    # In one step: between the two a new task would find the old one neither to join nor gone.
    with transaction.atomic():
        asked = SyncTask.objects.filter(pk=task.pk, status__in=OPEN).update(stop_requested=True)
        task.refresh_from_db()
        task.stop_waiting()
    return bool(asked)
