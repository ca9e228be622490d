"""Executing tasks: list, claim, run, record, close. The database is the truth; whoever comes may go on."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil
from time import monotonic
from typing import TypeVar
from uuid import uuid4

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Count, Exists, OuterRef, Q

from sync.credentials import CredentialKeyMissing
from sync.limits import Crowded, Granted, held
from sync.models import OPEN, Instance, Status, SyncTask, TaskPart, TaskRepository
from sync.oci.errors import Cancelled, OciError
from sync.registries import Registry
from sync.replication.plan import list_repositories
from sync.replication.run import ABANDON_SECONDS, TICK_SECONDS, Replication
from sync.replication.spec import Spec
from sync.replication.whereabouts import Hints
from sync.replication.work import Limits, RepositoryWork
from sync.services import claims, outages, tasklog
from sync.services.connect import limit_of, open_registry, reach
from sync.services.patience import put_off
from sync.services.record import Recorder
from sync.services.spec import spec_of_task
from sync.shared import shared_hints

log = logging.getLogger(__name__)

STOP_ASKED_EVERY_SECONDS = 0.5
Result = TypeVar("Result")


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
    patient: bool = False,
    spread: Callable[[], None] = lambda: None,
    sharers: int = 1,
) -> bool:
    """Works on the task for about `seconds` (default SLICE_SECONDS); True when parts of it can be claimed now.

    When `leaving` says True, what is under way is given back within seconds. `watch` is shown the task, with its
    totals so far, several times a second; `spread` is called when there is work for others too. `sharers`: how many
    workers there are, this one included, which shall all find something to do. `patient`: failures that waiting can
    heal leave what they hit waiting; else they are failures like any other.
    """
    if task.start():
        tasklog.say(task, tasklog.INFO, "Started.")
    task.refresh_from_db()
    if not task.is_open or (task.stop_requested and finish(task)):
        return False
    if not claims.ready(task).exists() or claims.owners(task) >= task.parallelism:
        finish(task)
        return False
    turn = _Slice(task, leaving, watch, spread, patient=patient, sharers=sharers)
    try:
        turn.run(settings.SLICE_SECONDS if seconds is None else seconds)
    except (Cancelled, Crowded):
        turn.give_back()
    except _Away as away:
        turn.give_back()
        _wait_for(task, str(away))
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


class _Away(Exception):
    """A side does not answer: the task waits. The message is a sentence that says which and why."""


def _wait_for(task: SyncTask, sentence: str) -> None:
    if SyncTask.objects.filter(pk=task.pk).exclude(reason=sentence).update(reason=sentence):
        tasklog.say(task, tasklog.WARNING, f"{sentence} What waits goes on by itself when it answers again.")


class _Slice:
    """One worker's turn at one task."""

    def __init__(
        self,
        task: SyncTask,
        leaving: Callable[[], bool],
        watch: Callable[[SyncTask], None],
        spread: Callable[[], None],
        *,
        patient: bool,
        sharers: int,
    ) -> None:
        self._task = task
        self._watch = watch
        self._spread = spread
        self._patient = patient
        self._leaving = leaving
        self._spec = spec_of_task(task)
        self._stop = threading.Event()
        self._token = str(uuid4())
        self._recorder = Recorder(task, self._token, patient=patient)
        self._asked_at = monotonic()
        self._sharers = min(task.parallelism, sharers)

    def run(self, seconds: float) -> None:
        sides = self._instance("source"), self._instance("target")
        limits = [limit_of(side) for side in sides]
        with held(limits, self._should_stop, settings.SLICE_SECONDS) as (from_source, to_target):
            self._work(self._open(sides[0], "source", from_source), self._open(sides[1], "target", to_target), seconds)

    def _work(self, source: Registry, target: Registry, seconds: float) -> None:
        with closing(source.client), closing(target.client):
            self._reach(source, self._task.source)
            self._reach(target, self._task.target)
            # A reason that came with failures stays.
            if self._task.reason and not self._task.failed:
                SyncTask.objects.filter(pk=self._task.pk).update(reason="")
                tasklog.say(self._task, tasklog.INFO, "Both sides answer again: it goes on.")
            self._replicate(source, target, monotonic() + seconds)
            self._recorder.flush()

    def give_back(self) -> None:
        self._recorder.flush_ended()
        claims.give_back(self._token)

    def fall(self, fault: OciError) -> bool:
        """After a fault of our own: gives back what was claimed. False when that was nothing."""
        return claims.fall(self._token, fault)

    def _instance(self, side: str) -> Instance:
        instance: Instance | None = getattr(self._task, side)
        if instance is None:
            raise OciError(f"the {side} instance was deleted", side=side)
        return instance

    def _open(self, instance: Instance, side: str, limits: Granted) -> Registry:
        return open_registry(instance, side, lambda: self._stop.is_set() or self._leaving(), limits)

    def _reach(self, registry: Registry, instance: Instance | None) -> None:
        """Raises _Away when the side does not answer, or did not and is not to be asked yet."""
        if instance is None:
            return
        if self._patient and not outages.may_ask(instance):
            raise _Away(instance.down_reason)
        try:
            self._aside(partial(reach, registry), registry)
        except OciError as error:
            if not (self._patient and error.outage):
                raise
            outages.went_down(instance, error)
            raise _Away(str(error)) from None
        outages.came_back(instance)

    def _aside(self, call: Callable[[], Result], registry: Registry, beat: Callable[[], object] = never) -> Result:
        """What `call` gives, called in another thread: this one hears of a stop meanwhile, and raises Cancelled."""
        pool = ThreadPoolExecutor(1)
        future = pool.submit(call)
        stopped_at: float | None = None
        beat_at = monotonic()
        try:
            while not wait([future], TICK_SECONDS).done:
                if monotonic() - beat_at > settings.SILENT_SECONDS / 6:
                    beat_at = monotonic()
                    beat()
                if stopped_at is None and self._should_stop():
                    stopped_at = monotonic()
                    self._stop.set()
                    registry.client.abort()
                if stopped_at is not None and monotonic() - stopped_at > ABANDON_SECONDS:
                    raise Cancelled("stopped on request")
            return future.result()
        finally:
            pool.shutdown(wait=False)

    def _replicate(self, source: Registry, target: Registry, deadline: float) -> None:
        target_id = self._task.target_id or 0
        limits = Limits(settings.REPOSITORIES_AT_ONCE, settings.RESOURCES_AT_ONCE, settings.CALLS_AT_ONCE)
        with shared_hints(target_id, kept_in_target(target_id)) as hints:
            self._follow(Replication(source, target, self._spec, self._stop, limits, hints), deadline, source)

    def _follow(self, replication: Replication, deadline: float, source: Registry) -> None:
        with closing(replication.run(partial(self._take, deadline, source), self._should_stop)) as events:
            for event in events:
                self._recorder.record(event)
                if self._recorder.met_outage or monotonic() >= deadline:
                    replication.drain()
                if self._recorder.take_divided():
                    self._spread()
                self._watch(self._task)

    def _take(self, deadline: float, source: Registry, most: int) -> list[RepositoryWork]:
        """Parts that we claimed, as work for the engine; fewer when there are no more for us, or it is time to end."""
        works: list[RepositoryWork] = []
        while wanted := self._still_wanted(deadline, most - len(works)):
            parts = claims.claim(self._task, self._token, self._recorder.busy, wanted)
            if not parts:
                # More of a repository whose last part is done may wait.
                if claims.ready(self._task).exists() and self._recorder.flush_ended():
                    continue
                break
            if parts[0].repository_id is None:
                self._plan(parts[0], source)
            else:
                works += self._recorder.open(parts)
        return works

    def _still_wanted(self, deadline: float, most: int) -> int:
        """How many parts to claim, so that others find something too: a smaller share the less is left.

        One more than the share, so that a worker begins with the next one before it ends the last.
        """
        if self._task.repository_count is None:
            return 1
        if monotonic() >= deadline:
            return 0
        if self._sharers < 2:
            return most
        mine, left = self._recorder.at_work, claims.ready(self._task).count()
        wanted = 0
        while wanted < most and mine + wanted <= max(1, ceil((left - wanted) / self._sharers)):
            wanted += 1
        return wanted

    def _plan(self, part: TaskPart, source: Registry) -> None:
        tags: dict[str, list[str]] = defaultdict(list)
        for chosen in self._task.selection:
            tags[chosen["repository"]] += [chosen["tag"]] if chosen["tag"] else []
        names = list(tags) or self._listed(part, source)
        if names is None:
            return
        plan_repositories(part, self._spec, {name: tags.get(name) or None for name in names})
        self._task.refresh_from_db()
        self._spread()

    def _listed(self, part: TaskPart, source: Registry) -> list[str] | None:
        """The repositories of the source that match; None when listing them was put off."""
        try:
            return self._aside(lambda: list(list_repositories(source, self._spec)), source, partial(claims.beat, part))
        except OciError as error:
            wait = put_off(part, [error]) if self._patient else None
            if wait is None:
                raise
            claims.owned(part).update(claim="", **wait.fields())
            _wait_for(self._task, str(error))
            return None

    def _should_stop(self) -> bool:
        if monotonic() - self._asked_at >= STOP_ASKED_EVERY_SECONDS:
            self._asked_at = monotonic()
            self._task.refresh_from_db(fields=["stop_requested", "status"])
        return self._task.stop_requested or not self._task.is_open or self._leaving()


def plan_repositories(part: TaskPart, spec: Spec, chosen: Mapping[str, Sequence[str] | None]) -> None:
    """Writes a row and a first part for each repository, all or none, if the part that asked for them is still ours.

    chosen: the tags to copy by name of the repository, None for all that match.
    """
    task = part.task
    rows = [TaskRepository(task=task, name=name, target_name=spec.target_repository(name)) for name in chosen]
    with transaction.atomic():
        if not claims.owned(part).delete()[0]:
            return
        TaskRepository.objects.bulk_create(rows, batch_size=500)
        parts = [TaskPart(task=task, repository=row, tags=chosen[row.name]) for row in rows]
        TaskPart.objects.bulk_create(parts, batch_size=500)
        SyncTask.objects.filter(pk=task.pk).update(repository_count=len(rows), all_planned=not rows)
        tasklog.say(
            task, tasklog.INFO, "1 repository matches." if len(rows) == 1 else f"{len(rows)} repositories match."
        )


@lru_cache(maxsize=64)
def kept_in_target(target_id: int) -> Hints:
    """Where a target keeps the digests that this process has seen there, for mounts in later slices and tasks."""
    return Hints()


def finish(task: SyncTask) -> bool:
    """Closes the task when nothing of it is left to do. True when it has ended."""
    if SyncTask.objects.filter(pk=task.pk, stop_requested=True, status__in=OPEN).exists():
        claims.discard(task, "Stopped on request.")
    with transaction.atomic():
        fresh = SyncTask.objects.select_for_update().get(pk=task.pk)
        if fresh.is_open and not fresh.parts.exists():
            end = _end_of(fresh)
            tasklog.say(fresh, tasklog.INFO if end == Status.SUCCEEDED else tasklog.WARNING, f"Ended: {end.label}.")
            fresh.close(end)
    task.refresh_from_db()
    return not task.is_open


def _end_of(task: SyncTask) -> Status:
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
    unended = SyncTask.objects.filter(status__in=OPEN).select_related("source", "target").defer("selection")
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
