"""What becomes of one tag: both sides are compared, and what is missing is brought."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic

from sync.oci.client import Client
from sync.oci.errors import Cancelled, NotFound, OciError
from sync.oci.manifest import Descriptor, Manifest
from sync.oci.reference import digest_tags
from sync.registries import Registry
from sync.replication.events import BytesMoved, Event, LeftOut, Outcome, ResourceDone, Vanished
from sync.replication.faults import failure
from sync.replication.graph import NEXT, Graph, Node, Once
from sync.replication.journey import Journey
from sync.replication.plan import Action, Decision, DigestTags, Kinds, TagsThere, digest_there, judge, taking_names
from sync.replication.spec import Spec
from sync.replication.transfer import Superseded, TagTaken, Transfer
from sync.replication.work import RepositoryWork

LONG_AGO = float("-inf")
# What was seen of the source when a repository was opened is asked again when its turn comes later than this.
SEEN_SECONDS = 2.0


@dataclass(frozen=True)
class Opened:
    """A repository that is worked on, and what lists have told: `there` is None where the target's is not known.

    `seen`: what tags of the source stood for `at` that moment (monotonic seconds), when they were looked for.
    `digests`: what a list of the source told that they stand for, good enough for what is trusted.
    """

    work: RepositoryWork
    target_name: str
    digest_tags: DigestTags
    there: TagsThere | None
    seen: Mapping[str, Descriptor] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    at: float = field(default_factory=monotonic)

    @property
    def name(self) -> str:
        return self.work.name

    def lacks(self, tag: str) -> bool:
        """Whether the target's list does not have the tag; it may lag behind."""
        return self.there is not None and tag not in self.there.tags

    def just_seen(self, tag: str) -> Descriptor | None:
        """What the source's tag stood for a moment ago. Others may have brought something newer since an older look."""
        return self.seen.get(tag) if monotonic() - self.at < SEEN_SECONDS else None

    def trusted(self, tag: str) -> str:
        """The digest that the target is trusted to hold, for its tag is listed and was verified not long ago."""
        listed = self.there is not None and tag in self.there.tags
        return self.work.verified.get(tag, "") if listed and tag in self.work.trusted else ""

    def is_listed_as(self, tag: str, digest: str) -> bool:
        """Whether the source's list tells this digest, and no tag that may hold a signature of it."""
        described = any(name in self.digest_tags for name in digest_tags(digest)) if digest else True
        return not described and self.digests.get(tag) == digest


@dataclass(frozen=True)
class Compared:
    """`held`: what the source's tag stands for; `root`: its manifest, if it was read; `at`: when we saw the target."""

    decision: Decision
    held: Descriptor | None = None
    root: Manifest | None = None
    at: float = LONG_AGO


class Resources:
    """Brings tags, each as work for the graph."""

    def __init__(
        self,
        graph: Graph,
        source: Client,
        target: Registry,
        spec: Spec,
        transfer: Transfer,
        tell: Callable[[Event], None],
    ) -> None:
        self._graph = graph
        self._source = source
        self._target = target
        self._spec = spec
        self._transfer = transfer
        self._tell = tell
        self._kinds = Kinds(source, spec.kinds)
        self._namespace = Once(graph)

    async def bring(self, repository: Opened, tag: str) -> Event:
        """Raises OciError when the sides cannot be compared, and Cancelled; what fails later is told by the event."""
        with taking_names(f"compare {repository.name}:{tag}"):
            compared = await self._compare(repository, tag)
        action = compared.decision.action
        if action is Action.VANISHED:
            return Vanished(repository.name, tag)
        if action is Action.LEFT_OUT:
            return LeftOut(repository.name, tag)
        if action is Action.CONFLICT:
            return _done(repository, compared.decision, Outcome.CONFLICT)
        if action is Action.UNCHANGED and compared.held is None:
            return _done(repository, compared.decision, Outcome.UNCHANGED)
        return await self._complete(repository, compared)

    async def _compare(self, repository: Opened, tag: str) -> Compared:
        """One HEAD per side, at the same time; none for a side that is known."""
        if repository.lacks(tag):
            return await self._compare_new(repository, tag)
        at = monotonic()
        trusted = repository.trusted(tag)
        if repository.is_listed_as(tag, trusted):
            return Compared(judge(self._spec, tag, trusted, trusted))
        looking = None if trusted else self._look_ahead(repository, tag)
        held = repository.just_seen(tag) or self._source.head_manifest(repository.name, tag)
        if held is None:
            return Compared(judge(self._spec, tag, "", ""))
        there: str | None = trusted
        if looking is not None:
            there = await looking
        elif held.digest != trusted:
            there = await self._look(repository, tag, held.digest)
        decision = judge(self._spec, tag, held.digest, there or "")
        at = LONG_AGO if there is None else at
        if decision.action in (Action.COPY, Action.OVERWRITE):
            return Compared(decision, held, None, at)
        if repository.work.verified.get(tag) != held.digest:
            kind = self._kinds.look_up(repository.name, held.digest)
            decision = judge(self._spec, tag, held.digest, there or "", kind)
        return Compared(decision, held, None, at)

    async def _compare_new(self, repository: Opened, tag: str) -> Compared:
        """What the target lacks is read at once: that tells its digest, too.

        A tag that is to be kept is looked for all the same where the repository has others, for the list may lag.
        """
        listed = repository.there
        assert listed is not None  # noqa: S101 - see lacks
        at, there = listed.at, None
        sure = self._spec.overwrite or not listed.tags
        looking = None if sure else self._look_ahead(repository, tag)
        try:
            root = self._source.get_manifest(repository.name, tag)
        except NotFound:
            return Compared(judge(self._spec, tag, "", ""))
        if not sure:
            there = await (looking or self._look(repository, tag, root.digest, root))
            at = LONG_AGO if there is None else at
        kind = self._kinds.of(repository.name, root)
        return Compared(judge(self._spec, tag, root.digest, there or "", kind), root.descriptor, root, at)

    def _look_ahead(self, repository: Opened, tag: str) -> Node[str | None] | None:
        """While the source is asked; None where what the source holds must be known first."""
        return self._graph.spawn(self._look(repository, tag), NEXT) if self._target.client.keeps_parts else None

    async def _look(self, repository: Opened, tag: str, held: str = "", manifest: Manifest | None = None) -> str | None:
        def read() -> Manifest:
            return manifest or self._source.get_manifest(repository.name, held)

        return digest_there(self._target.client, repository.target_name, tag, held, read)

    async def _complete(self, repository: Opened, compared: Compared) -> Event:
        journey = Journey(
            repository.name,
            repository.target_name,
            repository.digest_tags,
            on_bytes=lambda count: self._tell(BytesMoved(repository.name, count)),
            lease=repository.work.lease,
        )
        decision, outcome, error = compared.decision, Outcome.COPIED, None
        try:
            if decision.action is Action.UNCHANGED and compared.held is not None:
                trusted = bool(repository.trusted(decision.tag))
                missed = await self._transfer.complete(journey, compared.held, thorough=not trusted)
                outcome = Outcome.COPIED if missed else Outcome.UNCHANGED
            else:
                root = compared.root or self._read(repository, decision)
                if root is None:
                    return Vanished(repository.name, decision.tag)
                decision = replace(decision, kind=self._kinds.of(repository.name, root))
                if decision.kind is not None and decision.kind not in self._spec.kinds:
                    return LeftOut(repository.name, decision.tag)
                await self._namespace.do("ready", self._ensure_namespace)
                repository.work.under_way[decision.tag] = journey
                await self._transfer.copy(journey, decision, root, compared.at)
        except TagTaken as taken:
            decision, outcome = replace(decision, target_digest=taken.digest), Outcome.CONFLICT
        except Superseded as newer:
            decision, outcome = replace(decision, target_digest=newer.digest), Outcome.SUPERSEDED
        except Exception as raised:  # noqa: BLE001 - see failure
            outcome, error = Outcome.FAILED, failure(raised, f"copy {repository.name}:{decision.tag}")
            if isinstance(error, Cancelled):
                raise error from None
        finally:
            repository.work.under_way.pop(decision.tag, None)
        return _done(repository, decision, outcome, journey, error)

    def _read(self, repository: Opened, decision: Decision) -> Manifest | None:
        """What the tag stood for when it was looked at; None when it has vanished since (P-57)."""
        try:
            return self._source.get_manifest(repository.name, decision.digest)
        except NotFound:
            if self._source.head_manifest(repository.name, decision.tag) is None:
                return None
            raise

    async def _ensure_namespace(self) -> None:
        self._target.ensure_namespace(self._spec.target_namespace)


def _done(
    repository: Opened,
    decision: Decision,
    outcome: Outcome,
    journey: Journey | None = None,
    error: OciError | None = None,
) -> ResourceDone:
    tag, digest, there, kind = decision.tag, decision.digest, decision.target_digest, decision.kind
    moved, size = (journey.moved_bytes, journey.size) if journey else (0, None)
    return ResourceDone(repository.name, tag, outcome, digest, there, kind, moved, size, error)
