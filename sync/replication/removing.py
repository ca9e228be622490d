"""Deleting in the target what is gone from the source: only what is surely gone, and surely still what was brought."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

from sync.oci.client import Client
from sync.oci.errors import Cancelled, NotFound, OciError
from sync.registries import OnlyByDigest, Registry
from sync.replication.consent import Consent, Question
from sync.replication.events import Event, Kept, Outcome, ResourceDone
from sync.replication.faults import failure
from sync.replication.lease import Lease
from sync.replication.plan import taking_names
from sync.replication.work import RepositoryWork

# Of a repository with more tags nobody looks which of them have a digest.
MOST_TAGS = 2000
MAX_DEPTH = 8
TRIES = 3


class Removals:
    """For one run."""

    def __init__(
        self, source: Client, target: Registry, tell: Callable[[Event], None], consent: Consent | None = None
    ) -> None:
        """consent: asked before a tag is deleted; None where nobody else writes."""
        self._consent = consent
        self._source = source
        self._target = target
        self._tell = tell

    async def remove(self, work: RepositoryWork, target_name: str, ends: Callable[[], bool]) -> bool:
        """Deletes what the work names, one by one; False when the run ends before all is done. Raises OciError."""
        with taking_names(f"compare {work.name}"):
            self._be_sure_of_absence(work.name)
        holders = _Holders(self._target, target_name)
        for tag, digest in work.removing.items():
            if ends():
                return False
            try:
                event = await self._remove_alone(work, target_name, tag, digest, holders)
            except Exception as error:  # noqa: BLE001 - see failure
                failed = failure(error, f"delete {target_name}:{tag}")
                if isinstance(failed, Cancelled):
                    return False
                event = ResourceDone(work.name, tag, Outcome.FAILED, digest, digest, error=failed)
            self._tell(event)
        return True

    def _be_sure_of_absence(self, repository: str) -> None:
        """Where the repository lets itself be listed, or is not there by the registry's own word, 404 means absent."""
        try:
            next(self._source.tags(repository), None)
        except NotFound as error:
            if error.code != "NAME_UNKNOWN":
                raise

    async def _remove_alone(self, work: RepositoryWork, name: str, tag: str, digest: str, holders: "_Holders") -> Event:
        """Nobody else of us writes the tag meanwhile."""
        if self._consent is not None:
            await self._consent.take(Question(work.name, name, tag, "", digest), work.lease)
        return self._remove_surely(work, name, tag, digest, holders)

    def _remove_surely(self, work: RepositoryWork, name: str, tag: str, digest: str, holders: "_Holders") -> Event:
        """Looks again before each deletion is sent again."""
        for _ in range(TRIES - 1):
            with suppress(_NotSure):
                return self._remove(work, name, tag, digest, holders)
        return self._remove(work, name, tag, digest, holders)

    def _remove(self, work: RepositoryWork, name: str, tag: str, digest: str, holders: "_Holders") -> Event:
        if self._source.head_manifest(work.name, tag) is not None:
            return Kept(work.name, tag, "it is in the source again")
        brought = partial(self._source.get_manifest, work.name, digest)
        there = self._target.client.look_beside(name, tag, digest, brought)
        if there not in ("", digest):
            return Kept(work.name, tag, f"the target has another digest than the rule brought, {there}")
        if there:
            self._delete(work, name, tag, digest, holders)
        return ResourceDone(work.name, tag, Outcome.REMOVED, digest, digest if there else "")

    def _surely_going(self, work: RepositoryWork, digest: str) -> set[str]:
        """Of the tags that are to go with the digest those that the source does not have again."""
        going = work.doomed.get(digest, frozenset())
        return {tag for tag in going if self._source.head_manifest(work.name, tag) is None}

    def _delete(self, work: RepositoryWork, name: str, tag: str, digest: str, holders: "_Holders") -> None:
        try:
            self._target.delete_tag(name, tag, _once(work.lease))
        except OnlyByDigest:
            others = holders.of(digest) - self._surely_going(work, digest)
            if others:
                raise _shared(name, others) from None
            self._target.client.delete_manifest(name, digest, _once(work.lease))


class _NotSure(OciError):
    """The registry did not answer: a second DELETE could hit what somebody has pushed since."""


def _once(lease: Lease) -> Callable[[], None]:
    """To be called before each try to send: there is one."""
    sent = False

    def check() -> None:
        nonlocal sent
        if not lease.holds():
            raise Cancelled("the worker was taken for dead, another goes on")
        if sent:
            raise _NotSure("the registry did not answer to the deletion", side="target")
        sent = True

    return check


def _shared(name: str, others: set[str]) -> OciError:
    shown = ", ".join(sorted(others)[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
    return OciError(
        f"the registry deletes only by digest, and {shown} would go with it",
        side="target",
        operation=f"delete a tag of {name}",
        hint="It stays. Delete it there by hand, or let the registry delete single tags.",
    )


class _Holders:
    """Which tags of a repository of the target would go with a digest: those that have it, and indexes on top of it."""

    def __init__(self, target: Registry, repository: str) -> None:
        self._client = target.client
        self._repository = repository

    def of(self, digest: str) -> set[str]:
        """Raises OciError when not all of them can be known."""
        by_digest: dict[str, set[str]] = {}
        for tag in self._tags():
            for held in self._below(tag):
                by_digest.setdefault(held, set()).add(tag)
        return by_digest.get(digest, set())

    def _tags(self) -> list[str]:
        tags = list(islice(self._client.tags(self._repository), MOST_TAGS + 1))
        if len(tags) > MOST_TAGS:
            raise OciError(
                f"the registry deletes only by digest, and more than {MOST_TAGS} tags would have to be looked at",
                side="target",
                operation=f"delete a tag of {self._repository}",
                hint="It stays. Delete it there by hand.",
            )
        return tags

    def _below(self, reference: str, depth: int = 0) -> Iterator[str]:
        """The digest of a tag, and those that an index under it lists."""
        found = self._client.head_manifest(self._repository, reference)
        if found is None:
            return
        yield found.digest
        if found.is_index and depth < MAX_DEPTH:
            for child in self._client.get_manifest(self._repository, found.digest).children:
                yield child.digest
                if child.is_index:
                    yield from self._below(child.digest, depth + 1)
