"""Running a spec over repositories on a pool of threads, telling events to the caller's thread."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from sys import maxsize
from time import monotonic

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
from sync.replication.lease import Lease
from sync.replication.plan import Action, Decision, Planner, Tags, list_tags
from sync.replication.spec import Spec
from sync.replication.transfer import TagTaken, Transfer

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
# Told to stop, requests under way may end by themselves for so long; then their connections are broken. The target has
# longer: an upload that ends in good order can be given up, of one that breaks off some registries keep the bytes.
SOURCE_GRACE_SECONDS = 0.5
TARGET_GRACE_SECONDS = 1.5
# What hangs even then (looking up a name, connecting) is waited for no longer.
ABANDON_SECONDS = 3.5


@dataclass(frozen=True)
class Limits:
    repositories_at_once: int = 8
    resources_at_once: int = 16


@dataclass(frozen=True)
class RepositoryWork:
    """One repository to synchronize: all matching tags, or just the given ones.

    Without `digest_tags` the source is listed, and TagsListed tells what was found; of those tags the first `at_most`
    are taken up here. Nothing more is written once the `lease` has run out.
    """

    name: str
    tags: tuple[str, ...] | None = None
    digest_tags: frozenset[str] | None = None
    at_most: int = maxsize
    # Digests by tag that an earlier run brought: what kind of resource they are need not be looked up again.
    verified: Mapping[str, str] = field(default_factory=dict)
    lease: Lease = field(default_factory=Lease)


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
        self._enough = threading.Event()
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

    def drain(self) -> None:
        """Nothing new is taken up from now on; what is under way ends, the rest comes back as interrupted."""
        self._enough.set()

    def run(
        self, take: Callable[[], RepositoryWork | None], should_stop: Callable[[], bool]
    ) -> Generator[Event | Tick, None, None]:
        """Synchronizes what `take` gives, some at once; yields what happens until all is done.

        `take` is asked until it gives None, and again when a repository is done. It and `should_stop` are asked in the
        caller's thread only. When told to stop, what is under way ends between two requests or in the middle of a
        blob, and its repositories come back as interrupted within seconds.
        """
        active: dict[str, RepositoryWork] = {}
        pool = ThreadPoolExecutor(self._limits.resources_at_once, thread_name_prefix="replication")
        try:
            self._take_up(pool, take, active)
            while active and not self._stop.is_set():
                event = self._next_event(active)
                yield event
                if isinstance(event, RepositoryDone):
                    self._take_up(pool, take, active)
                if should_stop():
                    self._stop.set()
            yield from self._leave(active)
        finally:
            self._stop.set()
            # Left over only when the caller fell: nobody may go on writing after that.
            for _ in self._leave(active):
                pass
            pool.shutdown(wait=False, cancel_futures=True)

    def _take_up(
        self,
        pool: ThreadPoolExecutor,
        take: Callable[[], RepositoryWork | None],
        active: dict[str, RepositoryWork],
    ) -> None:
        while not (self._enough.is_set() or self._stop.is_set()) and len(active) < self._limits.repositories_at_once:
            item = take()
            if item is None:
                return
            active[item.name] = item
            pool.submit(self._start_repository, pool, item)

    def _next_event(self, active: dict[str, RepositoryWork]) -> Event | Tick:
        try:
            event = self._events.get(timeout=TICK_SECONDS)
        except Empty:
            return Tick()
        if isinstance(event, RepositoryDone):
            active.pop(event.repository, None)
        return event

    def _leave(self, active: dict[str, RepositoryWork]) -> Iterator[Event | Tick]:
        """Waits for what is under way: at first in good order, then with broken connections, then no longer."""
        began = monotonic()
        abort = {SOURCE_GRACE_SECONDS: self._source.abort, TARGET_GRACE_SECONDS: self._target.client.abort}
        while active and monotonic() - began < ABANDON_SECONDS:
            for seconds in [grace for grace in abort if monotonic() - began > grace]:
                abort.pop(seconds)()
            yield self._next_event(active)
        for work in list(active.values()):
            log.warning("%s: a request hangs; it is left behind", work.name)
            work.lease.lose()
            del active[work.name]
            yield RepositoryDone(work.name, interrupted=True)

    def _start_repository(self, pool: ThreadPoolExecutor, work: RepositoryWork) -> None:
        repository, tags, digest_tags = work.name, list(work.tags or ()), work.digest_tags
        if digest_tags is None:
            try:
                listed = self._list(work)
            except Exception as error:  # noqa: BLE001 - see _failure
                failed = _failure(error, f"list the tags of {repository}")
                if not isinstance(failed, Cancelled):
                    self._events.put(ResourceDone(repository, "", Outcome.FAILED, error=failed))
                self._events.put(RepositoryDone(repository, interrupted=isinstance(failed, Cancelled)))
                return
            tags, digest_tags = listed.matching, listed.digest_tags
            self._events.put(TagsListed(repository, tuple(tags), digest_tags, listed.missing))
        taken = tags[: work.at_most]
        if not taken:
            self._events.put(RepositoryDone(repository))
        progress = _Progress(len(taken))
        for tag in taken:
            pool.submit(self._finish_resource, work, tag, digest_tags, progress)

    def _list(self, work: RepositoryWork) -> Tags:
        """Given tags are taken as given; the list then only tells where signatures lie."""
        if work.tags is not None and not self._spec.with_referrers:
            return Tags(list(work.tags))
        listed = list_tags(self._source, self._spec, work.name)
        return listed if work.tags is None else Tags(list(work.tags), listed.digest_tags)

    def _finish_resource(
        self, work: RepositoryWork, tag: str, digest_tags: frozenset[str], progress: _Progress
    ) -> None:
        repository = work.name
        try:
            if self._stop.is_set() or self._enough.is_set() or not work.lease.holds():
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
            lease=work.lease,
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
