"""One worker's turn at one task: it claims parts, runs the engine on them, and has written down what happens."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from functools import lru_cache, partial
from math import ceil
from time import monotonic
from typing import Any, TypeVar
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from sync.limits import Granted, held
from sync.models import Instance, SyncTask, TaskPart, TaskRepository
from sync.models.reason import in_full
from sync.oci.errors import Cancelled, Denied, OciError, Unauthorized
from sync.registries import Registry
from sync.replication.plan import list_repositories
from sync.replication.run import ABANDON_SECONDS, TICK_SECONDS, Replication
from sync.replication.spec import Spec
from sync.replication.whereabouts import Hints
from sync.replication.width import Width
from sync.replication.work import Limits, RepositoryWork
from sync.services import claims, outages, pulls, removals, tasklog, waiting
from sync.services.connect import limit_of, open_registry, reach
from sync.services.listings import Listings
from sync.services.order import Umpire, is_contested
from sync.services.patience import put_off
from sync.services.record import Recorder
from sync.services.spec import spec_of_task
from sync.shared import shared_hints

STOP_ASKED_EVERY_SECONDS = 0.5
# So many times as long a turn may take while nobody else wants the worker.
TURNS_AT_MOST = 6
Result = TypeVar("Result")


def never() -> bool:
    return False


class _Time:
    """How long a turn may take: longer while nobody else wants the worker.

    Of a repository that is left in its midst both sides are asked again.
    """

    def __init__(self, seconds: float, others_wait: Callable[[], bool], crowded: Callable[[], bool] = never) -> None:
        """crowded: whether somebody has no connection while we have some; costs nothing to ask."""
        self._seconds = seconds
        self._others_wait = others_wait
        self._crowded = crowded
        self._shortest = monotonic() + seconds
        self._ends = monotonic() + seconds
        self._latest = monotonic() + TURNS_AT_MOST * seconds
        self._is_up = False

    def is_up(self) -> bool:
        now = monotonic()
        if now >= self._shortest and self._crowded():
            self._is_up = True
        if not self._is_up and now >= self._ends:
            self._is_up = now >= self._latest or self._others_wait()
            self._ends = now + self._seconds
        return self._is_up


class Away(Exception):
    """A side does not answer: the task waits. The message is a sentence that says which and why."""


class Turn:
    """One worker's turn at one task."""

    def __init__(
        self,
        task: SyncTask,
        leaving: Callable[[], bool],
        watch: Callable[[SyncTask], None],
        spread: Callable[[], None],
        others_wait: Callable[[], bool],
        *,
        patient: bool,
        sharers: int,
    ) -> None:
        self._task = task
        self._watch = watch
        self._spread = spread
        self._patient = patient
        self._leaving = leaving
        self._others_wait = others_wait
        self._spec = spec_of_task(task)
        self._stop = threading.Event()
        self._token = str(uuid4())
        self._umpire = Umpire(task, self._token) if is_contested(task) else None
        self._recorder = Recorder(task, self._token, patient=patient, umpire=self._umpire)
        self._asked_at = monotonic()
        self._sharers = min(task.parallelism, sharers)

    def run(self, seconds: float) -> None:
        sides = self._instance("source"), self._instance("target")
        limits = [limit_of(side) for side in sides]
        # Whoever has the connections leaves at the end of a slice at the latest.
        with held(limits, self._should_stop, 2 * settings.SLICE_SECONDS) as granted:
            time = _Time(seconds, self._others_wait, lambda: any(one.others_wait for one in granted))
            source = self._open(sides[0], "source", granted[0])
            self._work(source, self._open(sides[1], "target", granted[1]), time)

    def _work(self, source: Registry, target: Registry, time: _Time) -> None:
        with closing(source.client), closing(target.client):
            self._reach(source, self._task.source)
            self._reach(target, self._task.target)
            waiting.end(self._task)
            try:
                self._replicate(source, target, time)
            finally:
                pulls.note(self._instance("source"), source)
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
        """Raises Away when the side does not answer, or did not and is not to be asked yet."""
        if instance is None:
            return
        if self._patient and not outages.may_ask(instance):
            raise Away(in_full(instance.down_reason))
        try:
            refusal = self._aside(partial(reach, registry.client), registry)
        except OciError as error:
            if not (self._patient and error.outage):
                outages.refuses(instance, error)
                raise
            outages.went_down(instance, error)
            raise Away(str(error)) from None
        outages.came_back(instance)
        if refusal is None:
            outages.works(instance)
        first = registry.client.side == "source" and self._task.repository_count is None
        if first and isinstance(refusal, Unauthorized) and instance.username:
            tasklog.say(self._task, tasklog.WARNING, f"{refusal} What is public may be copied all the same.")

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

    def _replicate(self, source: Registry, target: Registry, time: _Time) -> None:
        target_id = self._task.target_id or 0
        limits = Limits(settings.REPOSITORIES_AT_ONCE, settings.RESOURCES_AT_ONCE, settings.CALLS_AT_ONCE)
        with shared_hints(target_id, kept_in_target(target_id)) as hints:
            width = kept_width(self._task.source_id, target_id, settings.CALLS_AT_ONCE)
            answerer = self._umpire.answer if self._umpire else None
            run = Replication(source, target, self._spec, self._stop, limits, hints, width, answerer)
            listings = Listings(self._task, self._spec, source, target)
            self._follow(run, time, partial(self._take, time, source, listings))

    def _follow(self, replication: Replication, time: _Time, take: Callable[[int], list[RepositoryWork]]) -> None:
        with closing(replication.run(take, self._should_stop)) as events:
            for event in events:
                self._recorder.record(event)
                if self._recorder.met_outage or time.is_up():
                    replication.drain()
                if self._recorder.take_divided():
                    self._spread()
                self._watch(self._task)

    def _take(self, time: _Time, source: Registry, listings: Listings, most: int) -> list[RepositoryWork]:
        """Parts that we claimed, as work for the engine; fewer when there are no more for us, or it is time to end."""
        works: list[RepositoryWork] = []
        while wanted := self._still_wanted(time, most - len(works)):
            parts = claims.claim(self._task, self._token, self._recorder.busy, wanted)
            if not parts:
                # More of a repository whose last part is done may wait.
                if claims.ready(self._task).exists() and self._recorder.flush_ended():
                    continue
                break
            if parts[0].repository_id is None:
                self._plan(parts[0], source, listings)
            else:
                works += self._recorder.open(parts)
        return works

    def _still_wanted(self, time: _Time, most: int) -> int:
        """How many parts to claim, so that others find something too: a smaller share the less is left.

        One more than the share, so that a worker begins with the next one before it ends the last.
        """
        if self._task.repository_count is None:
            return min(1, most)
        if time.is_up():
            return 0
        if self._sharers < 2:
            return most
        mine, left = self._recorder.at_work, claims.ready(self._task).count()
        wanted = 0
        while wanted < most and mine + wanted <= max(1, ceil((left - wanted) / self._sharers)):
            wanted += 1
        return wanted

    def _plan(self, part: TaskPart, source: Registry, listings: Listings) -> None:
        listings.before_names()
        names = None if self._task.selection else self._listed(part, source)
        if names is None and not self._task.selection:
            return
        plan_repositories(part, self._spec, names)
        self._task.refresh_from_db()
        listings.planned(self._task.repository_count or 0)
        self._spread()

    def _listed(self, part: TaskPart, source: Registry) -> list[str] | None:
        """The repositories of the source that match; None when listing them was put off."""
        try:
            return self._aside(lambda: list(list_repositories(source, self._spec)), source, partial(claims.beat, part))
        except OciError as error:
            wait = put_off(part, [error]) if self._patient else None
            if wait is None:
                if isinstance(error, Unauthorized | Denied):
                    outages.refuses(self._instance("source"), error)
                raise
            claims.owned(part).update(claim="", **wait.fields())
            waiting.begin(self._task, str(error))
            return None

    def _should_stop(self) -> bool:
        if monotonic() - self._asked_at >= STOP_ASKED_EVERY_SECONDS:
            self._asked_at = monotonic()
            self._task.refresh_from_db(fields=["stop_requested", "status"])
        return self._task.stop_requested or not self._task.is_open or self._leaving()


def plan_repositories(part: TaskPart, spec: Spec, listed: Sequence[str] | None) -> None:
    """Writes a row and a first part for each repository, all or none, if the part that asked for them is still ours.

    listed: those of the source that match; None for a task that has a selection, which pushes join until now.
    """
    task = part.task
    with transaction.atomic():
        if not claims.owned(part).delete()[0]:
            return
        selection = SyncTask.objects.select_for_update().values_list("selection", flat=True).get(pk=task.pk)
        chosen = _chosen(selection) if listed is None else dict.fromkeys(listed)
        if listed is not None and removals.is_asked_for(task):
            chosen |= dict.fromkeys(removals.repositories_brought(task, spec))
        rows = [TaskRepository(task=task, name=name, target_name=spec.target_repository(name)) for name in chosen]
        TaskRepository.objects.bulk_create(rows, batch_size=500)
        parts = [TaskPart(task=task, repository=row, tags=chosen[row.name]) for row in rows]
        TaskPart.objects.bulk_create(parts, batch_size=500)
        SyncTask.objects.filter(pk=task.pk).update(repository_count=len(rows), all_planned=not rows)
        tasklog.say(
            task, tasklog.INFO, "1 repository matches." if len(rows) == 1 else f"{len(rows)} repositories match."
        )


def _chosen(selection: Sequence[Mapping[str, Any]]) -> dict[str, list[str] | None]:
    """The tags by repository, None for all that match."""
    chosen: dict[str, list[str] | None] = {}
    for one in selection:
        tags = chosen.setdefault(one["repository"], [])
        if not one["tag"]:
            chosen[one["repository"]] = None
        elif tags is not None:
            tags.append(one["tag"])
    return chosen


@lru_cache(maxsize=64)
def kept_in_target(target_id: int) -> Hints:
    """Where a target keeps the digests that this process has seen there, for mounts in later slices and tasks."""
    return Hints()


@lru_cache(maxsize=64)
def kept_width(source_id: int | None, target_id: int, most: int) -> Width:
    """How many calls at once were worth making between two instances, for the next slice of this process."""
    return Width(most)
