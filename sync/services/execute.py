"""Executing tasks: list, claim, run, record, close. The database is the truth; whoever comes may go on."""

import logging
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Count, Exists, OuterRef, Q

from sync.credentials import CredentialKeyMissing
from sync.limits import Crowded
from sync.models import OPEN, Status, SyncRule, SyncTask, TaskPart
from sync.oci.errors import Cancelled, OciError
from sync.services import announce, claims, grants, listings, outages, removals, tallies, tasklog, waiting
from sync.services.turn import Away, Turn, never

log = logging.getLogger(__name__)


def always() -> bool:
    return True


def unwatched(task: SyncTask) -> None:
    """Nobody follows the task here."""


def run_slice(
    task: SyncTask,
    *,
    leaving: Callable[[], bool] = never,
    watch: Callable[[SyncTask], None] = unwatched,
    seconds: float | None = None,
    patient: bool = False,
    spread: Callable[[], None] = lambda: None,
    sharers: int = 1,
    others_wait: Callable[[], bool] = always,
) -> bool:
    """Works on the task for about `seconds` (default SLICE_SECONDS); True when parts of it can be claimed now.

    When `leaving` says True, what is under way is given back within seconds. `watch` is shown the task, with its
    totals so far, several times a second; `spread` is called when there is work for others too. `sharers`: how many
    workers there are, this one included, which shall all find something to do. `others_wait`: whether somebody else
    wants this worker; it goes on for some time more while nobody does. `patient`: failures that waiting can
    heal leave what they hit waiting; else they are failures like any other.
    """
    if task.start():
        tasklog.say(task, tasklog.INFO, "Started.")
    task.refresh_from_db()
    if not task.is_open or (task.stop_requested and finish(task)):
        return False
    if refusal := _refusal(task):
        claims.give_up(task, refusal)
        finish(task)
        return False
    if not claims.ready(task).exists() or claims.owners(task) >= task.parallelism:
        finish(task)
        return False
    turn = Turn(task, leaving, watch, spread, others_wait, patient=patient, sharers=sharers)
    try:
        turn.run(settings.SLICE_SECONDS if seconds is None else seconds)
    except (Cancelled, Crowded):
        turn.give_back()
    except Away as away:
        turn.give_back()
        waiting.begin(task, str(away))
        return False
    except (OciError, CredentialKeyMissing) as error:
        turn.give_back()
        claims.give_up(task, error if isinstance(error, OciError) else OciError(str(error)))
    except (DatabaseError, InterfaceError):
        raise  # What it held is taken back by a sweep when the database is there again.
    except Exception as error:
        # Whatever it is, the task must not stay Synchronizing for ever.
        log.exception("task %s", task.pk)
        fault = OciError(
            f"An unexpected fault in the console ({type(error).__name__})", hint="The worker's log has the details."
        )
        if not turn.fall(fault):
            # Nothing was held that could count it: the next turn would fall in the same place, without end.
            claims.give_up(task, fault)
    return not finish(task) and claims.ready(task).exists()


def _refusal(task: SyncTask) -> OciError | None:
    """Why the rule of the task may not run any more; it is suspended then, or goes on if it was."""
    rule = SyncRule.objects.select_related("source", "target", "owner").filter(tasks=task).first()
    if rule is None:
        return None
    reason = grants.fault(rule)
    grants.suspend(rule, reason)
    started = _as_started(rule, task)
    at_fault = rule if reason else started
    reason = reason or grants.fault(started)
    return OciError(reason, hint=grants.remedy(at_fault)) if reason else None


def _as_started(rule: SyncRule, task: SyncTask) -> SyncRule:
    """The rule may lead elsewhere by now, and ask for less; the task keeps to what it was."""
    was = copy(rule)
    was.source, was.target = task.source or rule.source, task.target or rule.target
    was.overwrite, was.delete_removed = (bool(task.snapshot.get(field)) for field in ("overwrite", "delete_removed"))
    return was


def finish(task: SyncTask) -> bool:
    """Closes the task when nothing of it is left to do, deletions last. True when it has ended."""
    if SyncTask.objects.filter(pk=task.pk, stop_requested=True, status__in=OPEN).exists():
        claims.discard(task, "Stopped on request.")
    with transaction.atomic():
        fresh = SyncTask.objects.select_for_update().get(pk=task.pk)
        done = fresh.is_open and not fresh.parts.exists()
        if done and not fresh.stop_requested:
            # One worker met an outage while the others brought all the rest.
            fresh.stop_being_away()
        if done and not removals.go_on(fresh):
            end = _end_of(fresh)
            tasklog.say(fresh, tasklog.INFO if end == Status.SUCCEEDED else tasklog.WARNING, f"Ended: {end.label}.")
            fresh.close(end)
            announce.task_ended(fresh)
            tallies.task_ended(fresh)
    task.refresh_from_db()
    if not task.is_open:
        listings.drop(task.pk)
    return not task.is_open


def _end_of(task: SyncTask) -> Status:
    if task.stop_requested and task.removals_allowed is False:
        return Status.STOPPED  # before anybody said whether to delete
    if task.repositories.filter(status=Status.STOPPED).exists():
        return Status.STOPPED
    if task.repository_count is None:
        return Status.STOPPED if task.stop_requested else Status.FAILED
    if not task.failed:
        return Status.SUCCEEDED
    return Status.PARTIAL if task.succeeded else Status.FAILED


@dataclass(frozen=True)
class Idle:
    """A task that can go on, with how many workers it has and how many parts wait for one."""

    task: SyncTask
    working: int
    ready: int


def sweep(leaving: Callable[[], bool] = never) -> list[Idle]:
    """Mends what was lost, as often and by as many as may be; returns the open tasks on which somebody can go on.

    Leaves what it can to the next one when `leaving`.
    """
    claims.take_back()
    unended = SyncTask.objects.filter(status__in=OPEN).select_related("rule", "source", "target").defer("selection")
    for task in outages.waited_too_long(unended):
        if not leaving():
            _guarded(task, lambda task: claims.give_up(task, outages.told(task)))
    nothing_left = ~Exists(TaskPart.objects.filter(task=OuterRef("pk")))
    for task in unended.filter(nothing_left | Q(stop_requested=True)):
        if not leaving():
            _guarded(task, finish)
    waiting = outages.not_asked_now(unended).values("pk")
    parts = claims.claimable().order_by().values("task").annotate(number=Count("pk"))
    ready, working = dict(parts.values_list("task", "number")), claims.owners_by_task()
    idle = unended.exclude(pk__in=waiting).filter(Exists(claims.ready(OuterRef("pk"))))
    return [Idle(task, working[task.pk], ready.get(task.pk, 0)) for task in idle]


def _guarded(task: SyncTask, mend: Callable[[SyncTask], object]) -> None:
    """A fault over one task keeps nobody from mending the others."""
    try:
        mend(task)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("task %s cannot be mended", task.pk)
