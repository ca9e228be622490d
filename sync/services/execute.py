"""Executing tasks: plan, claim, run, record, close. The database is the truth; whoever comes may go on."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from time import monotonic
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from sync.credentials import CredentialKeyMissing
from sync.models import OPEN, Instance, Status, SyncTask, TaskRepository
from sync.oci.errors import Cancelled, OciError
from sync.registries import Registry
from sync.replication.blobs import Hints
from sync.replication.plan import list_repositories
from sync.replication.run import Limits, Replication, RepositoryWork
from sync.replication.spec import Spec
from sync.services import claims
from sync.services.connect import open_registry, reach
from sync.services.record import Recorder, refresh_totals
from sync.services.spec import spec_of_task

log = logging.getLogger(__name__)

STOP_ASKED_EVERY_SECONDS = 1.0


def never() -> bool:
    return False


def unwatched(task: SyncTask) -> None:
    """Nobody follows the task here."""


def run_slice(
    task: SyncTask,
    *,
    leaving: Callable[[], bool] = never,
    watch: Callable[[SyncTask], None] = unwatched,
    seconds: float | None = None,
) -> bool:
    """Works on the task for about `seconds` (default SLICE_SECONDS); True when repositories still wait.

    When `leaving` says True, what is under way is given back within seconds. `watch` is shown the task, with its
    totals so far, several times a second.
    """
    if not task.start():
        task.refresh_from_db()
    if not task.is_open or (task.stop_requested and finish(task)):
        return False
    turn = _Slice(task, leaving, watch)
    try:
        turn.run(settings.SLICE_SECONDS if seconds is None else seconds)
    except Cancelled:
        return not finish(task)
    except (OciError, CredentialKeyMissing) as error:
        _give_up(task, str(error))
        return False
    except Exception as error:
        # Whatever it is, the task must not stay Synchronizing for ever.
        log.exception("task %s", task.pk)
        reason = f"An unexpected fault in the console ({type(error).__name__}). The worker's log has the details."
        if not turn.fall(reason):
            # No attempt was counted: the next turn would fall in the same place, without end.
            _give_up(task, reason)
    return not finish(task) and task.repositories.filter(status=Status.WAITING).exists()


def _give_up(task: SyncTask, reason: str) -> None:
    """Without a side, its list or its credential nothing can be said about what still waits: it fails."""
    if finish(task):
        return
    waiting = task.repositories.filter(status=Status.WAITING)
    waiting.update(**claims.FRESH)
    waiting.update(**claims.failed(reason))
    SyncTask.objects.filter(pk=task.pk).update(reason=reason)
    if task.repositories.exists():
        refresh_totals(task)
        finish(task)
    else:
        task.close(Status.FAILED, reason)


class _Slice:
    """One worker's turn at one task."""

    def __init__(self, task: SyncTask, leaving: Callable[[], bool], watch: Callable[[SyncTask], None]) -> None:
        self._task = task
        self._watch = watch
        self._leaving = leaving
        self._spec = spec_of_task(task)
        self._stop = threading.Event()
        self._token = str(uuid4())
        self._recorder = Recorder(task, self._token)
        self._asked_at = monotonic()
        self._only_tags: dict[str, list[str]] = defaultdict(list)
        for chosen in task.selection:
            self._only_tags[chosen["repository"]].append(chosen["tag"])

    def run(self, seconds: float) -> None:
        source, target = self._open(self._task.source, "source"), self._open(self._task.target, "target")
        try:
            reach(source)
            reach(target)
            if self._task.repository_count is None:
                names = self._only_tags or self._until_stopped(list_repositories(source, self._spec))
                plan_repositories(self._task, self._spec, list(names))
            self._replicate(source, target, monotonic() + seconds)
            self._recorder.flush()
        finally:
            source.client.close()
            target.client.close()

    def fall(self, reason: str) -> bool:
        """After a fault of our own: gives back what was claimed. False when that was nothing."""
        return claims.fall(self._token, reason)

    def _replicate(self, source: Registry, target: Registry, deadline: float) -> None:
        replication = Replication(
            source,
            target,
            self._spec,
            self._stop,
            Limits(settings.REPOSITORIES_AT_ONCE, settings.RESOURCES_AT_ONCE),
            kept_in_target(self._task.target_id or 0),
        )
        for event in replication.run(self._claim_until(deadline), self._should_stop):
            interrupted = self._recorder.record(event)
            if interrupted is not None:
                claims.give_back(interrupted, self._token)
            self._watch(self._task)

    def _open(self, instance: Instance | None, side: str) -> Registry:
        if instance is None:
            raise OciError(f"the {side} instance was deleted", side=side)
        return open_registry(instance, side, cancelled=lambda: self._stop.is_set() or self._leaving())

    def _claim_until(self, deadline: float) -> Iterator[RepositoryWork]:
        while monotonic() < deadline and (row := claims.claim_next(self._task, self._token)) is not None:
            verified = self._recorder.open(row)
            yield RepositoryWork(row.name, tuple(self._only_tags.get(row.name, ())), verified)

    def _until_stopped(self, names: Iterator[str]) -> Iterator[str]:
        """The names; raises Cancelled when the task is stopped while they are listed."""
        for name in names:
            if self._should_stop():
                raise Cancelled("stopped on request")
            yield name

    def _should_stop(self) -> bool:
        if monotonic() - self._asked_at >= STOP_ASKED_EVERY_SECONDS:
            self._asked_at = monotonic()
            self._task.refresh_from_db(fields=["stop_requested", "status"])
        return self._task.stop_requested or not self._task.is_open or self._leaving()


def plan_repositories(task: SyncTask, spec: Spec, names: Sequence[str]) -> None:
    """Writes a row for each repository, all or none; of two workers that listed at once the first one counts."""
    rows = [TaskRepository(task=task, name=name, target_name=spec.target_repository(name)) for name in names]
    with transaction.atomic():
        fresh = SyncTask.objects.select_for_update().get(pk=task.pk)
        if fresh.is_open and fresh.repository_count is None:
            TaskRepository.objects.bulk_create(rows, batch_size=500)
            refresh_totals(task)


@lru_cache(maxsize=64)
def kept_in_target(target_id: int) -> Hints:
    """Where a target keeps the digests that this process has seen there, for mounts in later slices and tasks."""
    return Hints()


def finish(task: SyncTask) -> bool:
    """Closes the task when no repository is left to do. True when it has ended."""
    with transaction.atomic():
        fresh = SyncTask.objects.select_for_update().get(pk=task.pk)
        rows = TaskRepository.objects.filter(task=task)
        if fresh.stop_requested:
            rows.filter(status=Status.WAITING).update(status=Status.STOPPED, reason="Stopped on request.")
        if fresh.is_open and fresh.stop_requested and fresh.repository_count is None:
            fresh.close(Status.STOPPED)
        elif fresh.is_open and fresh.repository_count is not None and not rows.filter(status__in=OPEN).exists():
            refresh_totals(fresh)
            fresh.close(_end_of(fresh))
    task.refresh_from_db()
    return not task.is_open


def _end_of(task: SyncTask) -> Status:
    if task.repositories.filter(status=Status.STOPPED).exists():
        return Status.STOPPED
    if not task.failed and not task.repositories.filter(status=Status.FAILED).exists():
        return Status.SUCCEEDED
    return Status.PARTIAL if task.succeeded else Status.FAILED


def sweep() -> list[SyncTask]:
    """Mends what was lost, as often and by as many as may be; returns open tasks on which somebody must go on."""
    claims.take_back()
    unfinished = [task for task in SyncTask.objects.filter(status__in=OPEN) if not finish(task)]
    return [
        task
        for task in unfinished
        if task.repository_count is None or task.repositories.filter(status=Status.WAITING).exists()
    ]
