"""Running a spec over repositories as one graph of work, telling events to the caller's thread."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from time import monotonic

from sync.oci.errors import Cancelled, Denied, Unauthorized
from sync.registries import Registry
from sync.replication.consent import Answerer, Consent
from sync.replication.events import Event, Outcome, RepositoryDone, ResourceDone, TagsListed, Tick
from sync.replication.faults import failure
from sync.replication.graph import NEXT, Gate, Graph
from sync.replication.plan import (
    MAX_ASKED,
    AskedDigestTags,
    DigestTags,
    Seen,
    Tags,
    TagsThere,
    find_digest_tags,
    list_digests,
    list_tags,
    list_there,
    look,
    spelled_out,
    tags_seen,
    taking_names,
)
from sync.replication.removing import Removals
from sync.replication.resource import Opened, Resources
from sync.replication.spec import Spec
from sync.replication.transfer import Transfer
from sync.replication.whereabouts import Whereabouts
from sync.replication.width import Width
from sync.replication.work import Limits, RepositoryWork

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
# Told to stop, requests under way may end by themselves for so long; then their connections are broken. The target has
# longer: an upload that ends in good order can be given up, of one that breaks off some registries keep the bytes.
SOURCE_GRACE_SECONDS = 0.5
TARGET_GRACE_SECONDS = 1.5
# What hangs even then (looking up a name, connecting) is waited for no longer.
ABANDON_SECONDS = 3.5


class Replication:
    """One run. `stop` is the event that the clients of both registries ask as `cancelled`.

    `width`: of an earlier run between the same registries, which has found out how many calls are worth making at once.
    `answerer`: tells in the caller's thread whether tags may be written; None where nobody else writes.
    """

    def __init__(
        self,
        source: Registry,
        target: Registry,
        spec: Spec,
        stop: threading.Event,
        limits: Limits,
        whereabouts: Whereabouts,
        width: Width | None = None,
        answerer: Answerer | None = None,
    ) -> None:
        self._source_registry, self._target_registry = source, target
        self._source = source.client
        self._target = target.client
        self._spec = spec
        self._stop = stop
        self._enough = threading.Event()
        self._limits = limits
        self._graph = Graph(width or Width(limits.calls_at_once), "replication")
        self._window = Gate(self._graph, limits.resources_at_once)
        self._events: deque[Event] = deque()
        self._news = threading.Event()
        self._consent = Consent(self._graph, answerer, self._news.set) if answerer else None
        transfer = Transfer(
            self._graph,
            source.client,
            target.client,
            whereabouts,
            same_instance=spec.same_instance,
            with_referrers=spec.with_referrers,
            overwrite=spec.overwrite,
            consent=self._consent,
        )
        self._removals = Removals(source.client, target, self._tell, self._consent)
        self._resources = Resources(self._graph, source.client, target, spec, transfer, self._tell)

    def drain(self) -> None:
        """Nothing new is taken up from now on; what is under way ends, the rest comes back as interrupted."""
        self._enough.set()

    def run(
        self, take: Callable[[int], Iterable[RepositoryWork]], should_stop: Callable[[], bool]
    ) -> Generator[Event | Tick, None, None]:
        """Synchronizes what `take` gives, some at once; yields what happens until all is done.

        `take` is asked for so many at the most, again when some are done. It and `should_stop` are asked in the
        caller's thread only. When told to stop, what is under way ends between two requests or in the middle of a
        blob, and its repositories come back as interrupted within seconds.
        """
        active: dict[str, RepositoryWork] = {}
        try:
            self._take_up(take, active)
            while active and not self._stop.is_set():
                for event in self._next_events(active):
                    yield event
                    if should_stop():
                        self._stop.set()
                self._take_up(take, active)
            yield from self._leave(active)
        finally:
            self._stop.set()
            # Left over only when the caller fell: nobody may go on writing after that.
            for _ in self._leave(active):
                pass
            self._graph.close()

    def _take_up(self, take: Callable[[int], Iterable[RepositoryWork]], active: dict[str, RepositoryWork]) -> None:
        """As many as there is room for, once all tags of those before are begun.

        Earlier nobody could turn to them, and what was listed of the target would be old by then.
        """
        room = self._limits.repositories_at_once - len(active)
        if self._enough.is_set() or self._stop.is_set() or not room or not self._window.has_room:
            return
        for item in take(room):
            active[item.name] = item
            self._graph.spawn(self._repository(item), NEXT)

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, RepositoryDone):
            self._news.set()  # the others can wait for it, or for the next tick

    def _next_events(self, active: dict[str, RepositoryWork]) -> Iterator[Event | Tick]:
        self._news.wait(TICK_SECONDS)
        self._news.clear()
        self._graph.beat()
        if self._consent is not None:
            self._consent.answer(leaving=self._stop.is_set())
        if not self._events:
            yield Tick()
        while self._events:
            event = self._events.popleft()
            if isinstance(event, RepositoryDone):
                active.pop(event.repository, None)
            yield event

    def _leave(self, active: dict[str, RepositoryWork]) -> Iterator[Event | Tick]:
        """Waits for what is under way: at first in good order, then with broken connections, then no longer."""
        began = monotonic()
        abort = {SOURCE_GRACE_SECONDS: self._source.abort, TARGET_GRACE_SECONDS: self._target.abort}
        while active and monotonic() - began < ABANDON_SECONDS:
            for seconds in [grace for grace in abort if monotonic() - began > grace]:
                abort.pop(seconds)()
            yield from self._next_events(active)
        for work in list(active.values()):
            log.warning("%s: a request hangs; it is left behind", work.name)
            work.lease.lose()
            del active[work.name]
            yield RepositoryDone(work.name, interrupted=True)

    async def _repository(self, work: RepositoryWork) -> None:
        interrupted = False
        try:
            if not work.lease.holds():
                raise Cancelled("the worker was taken for dead")
            interrupted = not await (self._remove(work) if work.removing else self._bring(work))
        except Exception as error:  # noqa: BLE001 - see failure
            failed = failure(error, f"list the tags of {work.name}")
            interrupted = isinstance(failed, Cancelled)
            if not interrupted:
                self._tell(ResourceDone(work.name, "", Outcome.FAILED, error=failed))
        self._tell(RepositoryDone(work.name, interrupted))

    async def _bring(self, work: RepositoryWork) -> bool:
        repository, tags = await self._open(work)
        return await self._bring_all(repository, tags)

    async def _remove(self, work: RepositoryWork) -> bool:
        ends = partial(self._ends, work)
        return await self._removals.remove(work, self._spec.target_repository(work.name), ends)

    async def _open(self, work: RepositoryWork) -> tuple[Opened, list[str]]:
        """Lists both sides at the same time, as far as it helps; the tags to bring."""
        target_name = self._spec.target_repository(work.name)
        names = spelled_out(self._spec) if work.tags is None else list(work.tags)
        few = names is not None and len(names) <= MAX_ASKED
        there = self._graph.spawn(self._list_there(work, target_name, few), NEXT) if _list_helps(work, names) else None
        if work.digest_tags is not None:
            listed = Tags(names or [], work.digest_tags)
        else:
            listed = await self._list(work, names)
            known = listed.digest_tags if isinstance(listed.digest_tags, frozenset) else None
            self._tell(TagsListed(work.name, tuple(listed.matching), known, listed.missing))
            if there is None and _unknown(work, listed.matching[: work.at_most]) > MAX_ASKED:
                there = self._graph.spawn(self._list_there(work, target_name, few), NEXT)
        listed_there = await there if there else None
        if listed_there is not None and await self._denies(listed_there, target_name, listed.matching):
            listed_there = None
        opened = Opened(work, target_name, listed.digest_tags, listed_there, listed.seen, listed.digests)
        return opened, listed.matching

    async def _list(self, work: RepositoryWork, names: list[str] | None) -> Tags:
        """Given tags are taken as given; where their signatures lie is to be found."""
        if work.tags is not None:
            return Tags(list(work.tags), self._digest_tags(work) if self._spec.with_referrers else frozenset())
        if names is None:
            digests = list_digests(self._source_registry, self._spec, work.name) if work.trusted else None
            return digests or list_tags(self._source, self._spec, work.name)
        with taking_names(f"look for the tags of {work.name}"):
            looks = {tag: self._graph.spawn(self._look(work.name, tag), NEXT) for tag in names}
            seen = {tag: await look for tag, look in looks.items()}
            return tags_seen(self._source, self._spec, work.name, seen)

    def _digest_tags(self, work: RepositoryWork) -> DigestTags:
        if work.unlisted:
            return AskedDigestTags(self._source, work.name)
        return find_digest_tags(self._source, work.name)

    async def _look(self, repository: str, tag: str) -> Seen:
        return look(self._source, repository, tag)

    async def _list_there(self, work: RepositoryWork, repository: str, few: bool) -> TagsThere | None:
        return list_there(self._target_registry, repository, few=few, in_bulk=bool(work.trusted))

    async def _denies(self, there: TagsThere, repository: str, tags: Sequence[str]) -> bool:
        """Whether the list of the target tells of nothing, and the first tag is there: then it tells nothing at all.

        Some registries answer from a cache, or NAME_UNKNOWN to who may not list. One question for each new repository,
        where tags that are there are to be kept.
        """
        if self._spec.overwrite or there.tags or not tags or not self._target.keeps_parts:
            return False
        return await self._graph.spawn(self._is_there(repository, tags[0]), NEXT)

    async def _is_there(self, repository: str, tag: str) -> bool:
        with taking_names(f"look for {repository}:{tag}"):
            try:
                return self._target.head_manifest(repository, tag) is not None
            except (Unauthorized, Denied):
                return False

    async def _bring_all(self, repository: Opened, tags: list[str]) -> bool:
        """False when something is left because the run ends."""
        begun = []
        taken = tags[: repository.work.at_most]
        for tag in taken:
            await self._window.enter()
            if self._ends(repository.work):
                self._window.leave()
                break
            begun.append(self._graph.spawn(self._bring_one(repository, tag)))
        done = [await node for node in begun]
        return all(done) and len(done) == len(taken)

    async def _bring_one(self, repository: Opened, tag: str) -> bool:
        """False when it was interrupted, or not begun."""
        try:
            if self._ends(repository.work):
                return False
            self._tell(await self._resources.bring(repository, tag))
        except Exception as error:  # noqa: BLE001 - see failure
            failed = failure(error, f"copy {repository.name}:{tag}")
            if isinstance(failed, Cancelled):
                return False
            self._tell(ResourceDone(repository.name, tag, Outcome.FAILED, error=failed))
        finally:
            self._window.leave()
        return True

    def _ends(self, work: RepositoryWork) -> bool:
        return self._stop.is_set() or self._enough.is_set() or not work.lease.holds()


def _list_helps(work: RepositoryWork, names: list[str] | None) -> bool:
    """Whether to list the target before it is known what the source has, as far as names are not given.

    It spares a look for what is trusted to be there if listed, and for what is not there. What was verified is looked
    for, listed or not.
    """
    if names is None:
        return bool(work.trusted) or not work.verified
    if work.trusted:
        return len(names) > 1
    # Of a divided repository each part would list it all.
    return work.digest_tags is None and _unknown(work, names) > MAX_ASKED


def _unknown(work: RepositoryWork, tags: Sequence[str]) -> int:
    return sum(tag not in work.verified for tag in tags)
