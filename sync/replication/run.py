"""Running a spec over repositories on a pool of threads, telling events to the caller's thread."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from sync.oci.errors import Cancelled, OciError
from sync.registries import Registry
from sync.replication.blobs import Hints
from sync.replication.events import (
    BytesMoved,
    Event,
    LeftOut,
    Outcome,
    RepositoryDone,
    ResourceDone,
    TagsListed,
    Tick,
    Vanished,
)
from sync.replication.journey import Journey
from sync.replication.plan import Action, Decision, Planner, Tags, list_tags
from sync.replication.spec import Spec
from sync.replication.transfer import TagTaken, Transfer

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25


@dataclass(frozen=True)
class Limits:
    repositories_at_once: int = 8
    resources_at_once: int = 16


@dataclass(frozen=True)
class RepositoryWork:
    """One repository to synchronize: all matching tags, or just the named ones."""

    name: str
    only_tags: tuple[str, ...] = ()
    # Digests by tag that an earlier run brought: what kind of resource they are need not be looked up again.
    verified: Mapping[str, str] = field(default_factory=dict)


class _Progress:
    """How many resources of a repository are still to come; whoever finishes the last one says so."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self.interrupted = False

    def one_done(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0


class Replication:
    """One run. `stop` is the event that the clients of both registries ask as `cancelled`."""

    def __init__(
        self,
        source: Registry,
        target: Registry,
        spec: Spec,
        stop: threading.Event,
        limits: Limits,
        kept_in: Hints,
    ) -> None:
        self._source = source.client
        self._target = target
        self._spec = spec
        self._stop = stop
        self._limits = limits
        self._planner = Planner(source.client, target.client, spec)
        self._transfer = Transfer(
            source.client,
            target.client,
            kept_in,
            same_instance=spec.same_instance,
            with_referrers=spec.with_referrers,
            overwrite=spec.overwrite,
        )
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._namespace_lock = threading.Lock()
        self._namespace_ready = False

    def run(self, work: Iterator[RepositoryWork], should_stop: Callable[[], bool]) -> Iterator[Event | Tick]:
        """Synchronizes each repository of `work`, some at once; yields what happens until all is done.

        `work` and `should_stop` are asked in the caller's thread only. When told to stop, what is under way ends
        between two requests or in the middle of a blob, and its repositories come back as interrupted.
        """
        active, exhausted = 0, False
        with ThreadPoolExecutor(self._limits.resources_at_once, thread_name_prefix="replication") as pool:
            try:
                while True:
                    while not exhausted and not self._stop.is_set() and active < self._limits.repositories_at_once:
                        item = next(work, None)
                        exhausted = item is None
                        if item is not None:
                            pool.submit(self._list_repository, pool, item)
                            active += 1
                    if not active:
                        return
                    event = self._next_event()
                    active -= isinstance(event, RepositoryDone)
                    yield event
                    if should_stop():
                        self._stop.set()
            finally:
                if active:
                    self._stop.set()

    def _next_event(self) -> Event | Tick:
        try:
            return self._events.get(timeout=TICK_SECONDS)
        except Empty:
            return Tick()

    def _list_repository(self, pool: ThreadPoolExecutor, work: RepositoryWork) -> None:
        try:
            tags = self._tags_of(work)
        except Exception as error:  # noqa: BLE001 - see _failure
            failed = _failure(error, f"list the tags of {work.name}")
            if not isinstance(failed, Cancelled):
                self._events.put(ResourceDone(work.name, "", Outcome.FAILED, error=failed))
            self._events.put(RepositoryDone(work.name, interrupted=isinstance(failed, Cancelled)))
            return
        self._events.put(TagsListed(work.name, len(tags.matching), tags.missing))
        if not tags.matching:
            self._events.put(RepositoryDone(work.name))
        progress = _Progress(len(tags.matching))
        for tag in tags.matching:
            pool.submit(self._finish_resource, work, tag, tags.digest_tags, progress)

    def _tags_of(self, work: RepositoryWork) -> Tags:
        """Named tags are taken as named; the list then only tells where signatures lie."""
        if work.only_tags and not self._spec.with_referrers:
            return Tags(list(work.only_tags))
        listed = list_tags(self._source, self._spec, work.name)
        return Tags(list(work.only_tags), listed.digest_tags) if work.only_tags else listed

    def _finish_resource(
        self, work: RepositoryWork, tag: str, digest_tags: frozenset[str], progress: _Progress
    ) -> None:
        repository = work.name
        try:
            if self._stop.is_set():
                progress.interrupted = True
            else:
                self._events.put(self._resource(work, tag, digest_tags))
        except Exception as error:  # noqa: BLE001 - see _failure
            failed = _failure(error, f"copy {repository}:{tag}")
            if isinstance(failed, Cancelled):
                progress.interrupted = True
            else:
                self._events.put(ResourceDone(repository, tag, Outcome.FAILED, error=failed))
        if progress.one_done():
            self._events.put(RepositoryDone(repository, progress.interrupted))

    def _resource(self, work: RepositoryWork, tag: str, digest_tags: frozenset[str]) -> Event:
        repository = work.name
        decision = self._planner.decide(repository, tag, work.verified.get(tag, ""))
        if decision.action is Action.VANISHED:
            return Vanished(repository, tag)
        if decision.action is Action.LEFT_OUT:
            return LeftOut(repository, tag)
        if decision.action is Action.CONFLICT:
            return self._done(repository, decision, Outcome.CONFLICT)
        journey = Journey(
            repository,
            self._spec.target_repository(repository),
            digest_tags,
            on_bytes=lambda count: self._events.put(BytesMoved(repository, count)),
        )
        try:
            outcome, error = self._bring(journey, decision), None
        except TagTaken as taken:
            decision = replace(decision, target_digest=taken.digest)
            outcome, error = Outcome.CONFLICT, None
        except Exception as raised:  # noqa: BLE001 - see _failure
            outcome, error = Outcome.FAILED, _failure(raised, f"copy {repository}:{tag}")
            if isinstance(error, Cancelled):
                raise error from None
        return self._done(repository, decision, outcome, journey.moved_bytes, error)

    def _bring(self, journey: Journey, decision: Decision) -> Outcome:
        if decision.action is Action.UNCHANGED:
            return Outcome.COPIED if self._transfer.complete(journey, decision.digest) else Outcome.UNCHANGED
        self._ensure_namespace()
        self._transfer.copy(journey, decision)
        return Outcome.COPIED

    def _done(
        self,
        repository: str,
        decision: Decision,
        outcome: Outcome,
        moved_bytes: int = 0,
        error: OciError | None = None,
    ) -> ResourceDone:
        return ResourceDone(
            repository,
            decision.tag,
            outcome,
            decision.digest,
            decision.target_digest,
            decision.kind,
            moved_bytes,
            error,
        )

    def _ensure_namespace(self) -> None:
        with self._namespace_lock:
            if not self._namespace_ready:
                self._target.ensure_namespace(self._spec.target_namespace)
                self._namespace_ready = True


def _failure(error: Exception, operation: str) -> OciError:
    """A fault in our own code fails the one resource it concerns, never the others, and is logged whole."""
    if isinstance(error, OciError):
        return error
    log.exception("cannot %s", operation, exc_info=error)
    return OciError(
        f"an unexpected fault in the console ({type(error).__name__})",
        operation=operation,
        hint="The worker's log has the details; please report it.",
    )
