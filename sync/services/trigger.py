"""The one corridor: a push, a click and a command all open their task here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import transaction

from sync import pools, queue
from sync.models import OPEN, Status, SyncRule, SyncTask, TaskPart, TaskResource, Trigger
from sync.services import announce, audit, claims, grants, removals, tallies, tasklog
from sync.services.execute import finish
from sync.services.spec import spec_of_rule

Selection = Sequence[tuple[str, str]]
# What persons and commands start: pushes and schedules are no acts of anybody.
NOTED = {Trigger.MANUAL: audit.Verb.SYNCED, Trigger.COMMAND: audit.Verb.SYNCED, Trigger.RETRY: audit.Verb.RETRIED}
# Of a task of pushes; of more, whole repositories are looked at.
MOST_SELECTED = 2000


@dataclass(frozen=True)
class Opened:
    """The task, and whether it was made now: a full task that waits or runs is not made twice."""

    task: SyncTask
    created: bool


def open_task(
    rule: SyncRule,
    trigger: Trigger,
    *,
    actor: str = "",
    selection: Selection = (),
    retry_of: SyncTask | None = None,
    quick: bool = False,
    enqueue: bool = True,
) -> Opened:
    """Writes the task with the rule as it is now; workers hear of it when the transaction commits.

    `selection` names (repository, tag) pairs to look at instead of everything that matches; a blank tag means all tags
    of the repository that match.
    `quick` trusts what the rule verified in the target within a day; who asks for a full check never gets a quick one.
    `enqueue=False` leaves the execution to the caller.
    """
    with transaction.atomic():
        # Two clicks at once: the second waits here and then finds the task of the first.
        locked = SyncRule.objects.select_for_update(no_key=True, of=("self",)).select_related("source", "target")
        rule = locked.get(pk=rule.pk)
        if not selection:
            running = _full_task_of(rule, quick=quick)
            if running is not None:
                return Opened(running, created=False)
        task = SyncTask.objects.create(
            rule=rule,
            source=rule.source,
            target=rule.target,
            snapshot=rule.snapshot(),
            selection=[{"repository": repository, "tag": tag} for repository, tag in selection],
            trigger=trigger,
            retry_of=retry_of,
            quick=quick,
            actor=actor,
        )
        TaskPart.objects.create(task=task)
        if trigger in NOTED:
            audit.note(NOTED[trigger], task, actor=actor, detail=f"Rule {rule}.")
        if enqueue:
            transaction.on_commit(partial(queue.enqueue_task, task.pk, queue_for(task)))
    return Opened(task, created=True)


Pushed = Mapping[tuple[str, str], float]
"""(repository, tag) pairs to look at, a blank tag for all tags, with when they were told (seconds since the epoch)."""


def join_push(rule: SyncRule, pushed: Pushed) -> Opened:
    """Pushes to the source of the rule: they join its task that has not been planned yet, or open one.

    To be called in a transaction. Raises SyncRule.DoesNotExist.
    """
    rule = SyncRule.objects.select_for_update(no_key=True).get(pk=rule.pk)
    gathering = rule.tasks.filter(
        trigger=Trigger.PUSH,
        status__in=OPEN,
        repository_count=None,
        stop_requested=False,
        source=rule.source_id,
        target=rule.target_id,
    )
    task = gathering.select_for_update(of=("self",)).first()
    if task is None or task.snapshot != rule.snapshot():
        opened = open_task(rule, Trigger.PUSH, selection=list(pushed))
        opened.task.selection, created = [], True
        task = opened.task
    else:
        created = False
    task.selection = _joined(task.selection, pushed)
    task.notified_at = datetime.fromtimestamp(min(one["at"] for one in task.selection), UTC)
    task.save(update_fields=["selection", "notified_at"])
    return Opened(task, created)


def _joined(selection: Sequence[Mapping[str, Any]], pushed: Pushed) -> list[dict[str, Any]]:
    """What was told first counts. Of very many tags all tags of their repositories are looked at."""
    told = {(one["repository"], one["tag"]): one["at"] for one in selection}
    for pair, at in pushed.items():
        told[pair] = min(at, told.get(pair, at))
    if len(told) > MOST_SELECTED:
        whole: dict[tuple[str, str], float] = {}
        for (repository, _), at in told.items():
            whole[repository, ""] = min(at, whole.get((repository, ""), at))
        told = whole
    return [{"repository": repository, "tag": tag, "at": at} for (repository, tag), at in told.items()]


def _full_task_of(rule: SyncRule, *, quick: bool) -> SyncTask | None:
    """The open task over everything that does what is asked, a quick one that waits made full when need be.

    One that has just deletions left, and asks about them, holds up nothing.
    """
    running = rule.tasks.filter(status__in=OPEN, selection=[], stop_requested=False)
    running = running.exclude(pk__in=removals.asks(rule.tasks.all()).values("pk"))
    if not quick:
        running.filter(status=Status.WAITING, quick=True).update(quick=False)
        running = running.filter(quick=False)
    return running.first()


def answer_removals(task: SyncTask, *, delete: bool, actor: str, mark: str = "") -> bool:
    """What a person says to a task that asks whether to delete. False when it asks nothing (any more).

    mark: of the question that was shown; False also when it asks about something else by now. Blank: whatever it asks.
    """
    asking = removals.asks(SyncTask.objects.filter(pk=task.pk, status__in=OPEN)).values("pk")
    with transaction.atomic():
        SyncTask.objects.select_for_update(no_key=True).get(pk=task.pk)
        if mark and mark != removals.mark_of(task):
            return False
        if not SyncTask.objects.filter(pk__in=asking, removals_allowed=None).update(removals_allowed=delete, reason=""):
            return False
        if not delete:
            removals.keep(task)
        verb = audit.Verb.ALLOWED_REMOVALS if delete else audit.Verb.REFUSED_REMOVALS
        audit.note(verb, task, actor=actor, detail=f"Of rule {task.rule_name}.")
        said = "delete them" if delete else "keep them; the rule does not ask about them again"
        tasklog.say(task, tasklog.INFO, f"{actor or 'Somebody'} says: {said}.")
    if not finish(task):
        go_on(task)
    return True


def sync_now(rule: SyncRule, *, actor: str) -> Opened:
    """What a person starts over everything that matches. Raises grants.Suspended, and SyncRule.DoesNotExist."""
    grants.require_running(rule)
    return open_task(rule, Trigger.MANUAL, actor=actor)


class NothingToRetry(Exception):
    """The message is a sentence that says why."""


def retry_failed(task: SyncTask, *, actor: str = "", enqueue: bool = True) -> Opened:
    """A task over just what failed in this one, by the rule as it is now; the one that is open already, if there is.

    Raises NothingToRetry, and grants.Suspended.
    """
    if task.rule is None:
        raise NothingToRetry("The rule of this task was deleted.")
    if task.is_open:
        raise NothingToRetry("This task has not ended yet: retry what failed when it has.")
    failed = TaskResource.objects.filter(repository__task=task, outcome=TaskResource.Outcome.FAILED)
    selection = list(failed.order_by("pk").values_list("repository__name", "tag"))
    if not selection and task.repository_count is not None:
        raise NothingToRetry("Nothing failed in this task.")
    spec = spec_of_rule(task.rule)
    covered = [(name, tag) for name, tag in selection if spec.selects(name) and (not tag or spec.tags.matches(tag))]
    if selection and not covered:
        raise NothingToRetry("The rule was changed: nothing of what failed belongs to it any more.")
    grants.require_running(task.rule)
    with transaction.atomic():
        SyncTask.objects.select_for_update().get(pk=task.pk)
        running = task.retries.filter(status__in=OPEN, stop_requested=False).first()
        if running is not None:
            return Opened(running, created=False)
        return open_task(task.rule, Trigger.RETRY, actor=actor, selection=covered, retry_of=task, enqueue=enqueue)


def spread(task: SyncTask) -> None:
    """Called by a worker of the task, which has found more than it can do alone."""
    top_up(task, max(claims.owners(task), 1), claims.ready(task).count(), queue.queued_tasks()[task.pk, task.pool])


def go_on(task: SyncTask) -> None:
    """Called by a worker whose turn is over: somebody shall take the next one."""
    top_up(task, claims.owners(task), claims.ready(task).count(), queue.queued_tasks()[task.pk, task.pool])


def top_up(task: SyncTask, working: int, ready: int, queued: int) -> int:
    """Asks for as many workers as can and may work on the task, less those who do or are asked already.

    Returns how many were asked. When the queue fails, the rest is left to the sweep.
    """
    wanted = min(task.parallelism, working + ready) - working - queued
    for asked in range(wanted):
        if not queue.enqueue_task(task.pk, queue_for(task)):
            return asked
    return max(wanted, 0)


def queue_for(task: SyncTask) -> str:
    """Pushes go before bulk work, in the pool of the task."""
    return pools.queue_name("push" if task.trigger == Trigger.PUSH else "default", task.pool)


def stop_task(task: SyncTask, *, actor: str = "") -> bool:
    """A waiting task is Stopped at once, a running one within seconds. False when it had ended."""
    asked = ask_to_stop(task, actor=actor)
    if asked:
        # What nobody works on ends here and now; owners hear of it and end the rest.
        finish(task)
    return asked


def ask_to_stop(task: SyncTask, *, actor: str = "") -> bool:
    """The half of it that may be part of a transaction: the task itself is changed, its repositories are not locked."""
    open_one = SyncTask.objects.filter(pk=task.pk, status__in=OPEN)
    # In one step: between the two a new task would find the old one neither to join nor gone.
    with transaction.atomic():
        first = open_one.filter(stop_requested=False).update(stopped_by=actor)  # who asks again is not the one
        asked = open_one.update(stop_requested=True)
        task.refresh_from_db()
        if first:
            audit.note(audit.Verb.STOPPED, task, actor=actor, detail=f"Of rule {task.rule_name}.")
        if asked:
            tasklog.say(task, tasklog.WARNING, f"Asked to stop by {actor}." if actor else "Asked to stop.")
        if task.stop_waiting():
            task.parts.all().delete()
            announce.task_ended(task)
            tallies.task_ended(task)
    return bool(asked)
