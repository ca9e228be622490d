"""What a run would do: which repositories and tags match, and for each tag what its two sides hold."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import islice
from time import monotonic
from typing import ClassVar, Protocol

from sync.oci.client import Client
from sync.oci.errors import Cancelled, Denied, ManifestError, NotFound, OciError, Rejected, Unauthorized
from sync.oci.list_api import PAGE_SIZE, Bookmark
from sync.oci.manifest import Descriptor, Kind, Manifest
from sync.oci.reference import InvalidReference, check_repository, check_tag, is_digest_tag, join_namespace
from sync.registries import Registry
from sync.replication.spec import Spec

log = logging.getLogger(__name__)

# So many spelled-out tags are asked for one by one; a list is cheaper for more.
MAX_ASKED = 20


# What a tag of the source stands for, None when it is not there; or why it could not be looked at.
Seen = Descriptor | OciError | None


class Action(StrEnum):
    COPY = "copy"
    OVERWRITE = "overwrite"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    LEFT_OUT = "left out"
    VANISHED = "vanished"


@dataclass(frozen=True)
class Decision:
    """What happens to one tag. Digests are those seen by the check; blank where a side holds nothing."""

    tag: str
    action: Action
    digest: str = ""
    target_digest: str = ""
    kind: Kind | None = None


class DigestTags(Protocol):
    def __contains__(self, tag: object, /) -> bool: ...


class ListsRepositories(Protocol):
    def repositories(self, namespace: str, after: Bookmark | None = None, /) -> Iterator[str]: ...


@dataclass(frozen=True)
class Tags:
    """The matching tags of a repository, and the digest tags under which signatures and other referrers lie.

    `missing`: the registry says that there is no such repository. `seen`: what those stand for that were asked for by
    their names. `digests`: what a list told that they stand for, a while ago.
    """

    matching: list[str] = field(default_factory=list)
    digest_tags: DigestTags = frozenset()
    missing: bool = False
    seen: Mapping[str, Descriptor] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


def list_repositories(source: ListsRepositories, spec: Spec, after: Bookmark | None = None) -> Iterator[str]:
    """Whole names of the repositories that match. Names that are spelled out need no listing.

    Names that no repository can have are left out, whoever gives them. after: where a list is gone on with.
    """
    literals = spec.repositories.literals()
    if literals is None:
        names = source.repositories(spec.source_namespace, after)
    else:
        names = (join_namespace(spec.source_namespace, literal) for literal in dict.fromkeys(literals))
    return (name for name in names if spec.selects(name) and _passes(check_repository, name))


def _passes(check: Callable[[str], str], name: str) -> bool:
    try:
        check(name)
    except InvalidReference as error:
        log.warning("left out: %s", error)
        return False
    return True


@contextmanager
def taking_names(operation: str) -> Iterator[None]:
    """A name that no registry takes, listed by the source or made by the rule, becomes an OciError like any other."""
    try:
        yield
    except InvalidReference as error:
        raise OciError(str(error), operation=operation, hint="Compare the namespaces of the rule.") from None


def list_tags(source: Client, spec: Spec, repository: str, matching: list[str] | None = None) -> Tags:
    """The tags of one repository, sorted. A repository that is not there has none. Raises OciError.

    matching: takes those that match while they are listed, for who may give up before the end.
    """
    matching = [] if matching is None else matching
    digest_tags: set[str] = set()
    try:
        with taking_names(f"list the tags of {repository}"):
            for tag in source.tags(repository):
                if is_digest_tag(tag):
                    digest_tags.add(tag)
                elif spec.tags.matches(tag) and _passes(check_tag, tag):
                    matching.append(tag)
    except NotFound as error:
        # Without the registry's own word for it, 404 may as well mean a wrong address, or no right to look.
        if error.code != "NAME_UNKNOWN":
            raise
        return Tags(missing=True)
    return Tags(sorted(matching), frozenset(digest_tags))


def list_digests(source: Registry, spec: Spec, repository: str) -> Tags | None:
    """The same as list_tags with the digest of each tag, without a question for each; None where nothing tells them.

    Raises OciError.
    """
    digests = source.digests(repository)
    if digests is None:
        return None
    tags = [tag for tag in sorted(digests) if not is_digest_tag(tag) and spec.tags.matches(tag)]
    matching = [tag for tag in tags if _passes(check_tag, tag)]
    return Tags(matching, frozenset(filter(is_digest_tag, digests)), digests=digests)


class AskedDigestTags:
    """The digest tags of a repository whose list is too long to read, or refused: each is asked for by its name."""

    def __init__(self, source: Client, repository: str) -> None:
        self._source = source
        self._repository = repository
        self._known: dict[object, bool] = {}

    def __contains__(self, tag: object) -> bool:
        if tag not in self._known:
            self._known[tag] = self._source.head_manifest(self._repository, str(tag)) is not None
        return self._known[tag]


def find_digest_tags(source: Client, repository: str) -> DigestTags:
    """For tags whose names are known: one page of the list tells what is theirs, if it is all. Raises OciError."""
    try:
        listed = list(islice(source.tags(repository), PAGE_SIZE))
    except (Denied, NotFound, Rejected, Unauthorized):
        return AskedDigestTags(source, repository)
    if len(listed) == PAGE_SIZE:
        return AskedDigestTags(source, repository)
    return frozenset(filter(is_digest_tag, listed))


def spelled_out(spec: Spec) -> list[str] | None:
    """The tags that a rule names, when asking for each is cheaper than a list."""
    names = spec.tags.literals()
    if names is None or len(names) > MAX_ASKED:
        return None
    return [tag for tag in sorted(set(names)) if _passes(check_tag, tag)]


def look(source: Client, repository: str, tag: str) -> Seen:
    """Raises Cancelled."""
    try:
        return source.head_manifest(repository, tag)
    except Cancelled:
        raise
    except OciError as error:
        return error


def tags_seen(source: Client, spec: Spec, repository: str, seen: Mapping[str, Seen]) -> Tags:
    """Of tags that were asked for: when none is there a list tells why (P-56). Raises OciError.

    One that could not be looked at is taken to be there: its copy fails and tells why.
    """
    there = [tag for tag, found in seen.items() if found is not None]
    if not there:
        return list_tags(source, spec, repository)
    descriptors = {tag: found for tag, found in seen.items() if isinstance(found, Descriptor)}
    digest_tags = find_digest_tags(source, repository) if spec.with_referrers else frozenset()
    return Tags(there, digest_tags, seen=descriptors)


def find_tags_after(source: Client, spec: Spec, repository: str, after: Bookmark) -> Iterator[str]:
    """The tags that match, without digest tags, and as the registry orders them: a long list can be gone on with.

    Names that are spelled out are asked for. Raises OciError.
    """
    names = spelled_out(spec)
    if names is not None:
        with taking_names(f"look for the tags of {repository}"):
            seen = {tag: look(source, repository, tag) for tag in names}
            yield from tags_seen(source, spec, repository, seen).matching
        return
    try:
        with taking_names(f"list the tags of {repository}"):
            for tag in source.tags(repository, after):
                if not is_digest_tag(tag) and spec.tags.matches(tag) and _passes(check_tag, tag):
                    yield tag
    except NotFound as error:
        if error.code != "NAME_UNKNOWN":
            raise


@dataclass(frozen=True)
class TagsThere:
    """The tags of a repository of the target, as they were at a time (monotonic seconds)."""

    tags: frozenset[str]
    at: float


def list_there(target: Registry, repository: str, *, few: bool = False, in_bulk: bool = False) -> TagsThere | None:
    """The tags of the target, so that what is not there need not be looked for; None where they cannot be listed.

    few: only few are to be looked for, which is cheaper than a list of more than one page. in_bulk: all are, and the
    kind's own list, which needs no token for each repository, will do. Raises Cancelled.
    """
    at = monotonic()
    try:
        own = target.listing is not None or (in_bulk and target.lists_digests and not few)
        if own and (digests := target.digests(repository)) is not None:
            return TagsThere(frozenset(digests), at)
        listed = target.client.tags(repository)
        tags = frozenset(islice(listed, PAGE_SIZE) if few else listed)
        return None if few and len(tags) == PAGE_SIZE else TagsThere(tags, at)
    except Cancelled:
        raise
    except NotFound as error:
        return TagsThere(frozenset(), at) if error.code == "NAME_UNKNOWN" else None
    except (OciError, InvalidReference):
        return None  # looking for a tag, or writing it, tells why


class Kinds:
    """What kind of resource a digest is. A digest never changes its kind, so a process looks each up once."""

    LIMIT = 100_000
    _known: ClassVar[dict[str, Kind]] = {}

    def __init__(self, source: Client, wanted: frozenset[Kind]) -> None:
        self._source = source
        self._make_a_difference = wanted != set(Kind)

    def look_up(self, repository: str, digest: str) -> Kind | None:
        """None where it makes no difference, and for a manifest that cannot be read: copying it fails and tells why."""
        if not self._make_a_difference:
            return None
        try:
            return self._known.get(digest) or self._of(repository, self._source.get_manifest(repository, digest))
        except (ManifestError, NotFound):
            return None

    def of(self, repository: str, manifest: Manifest) -> Kind | None:
        """The same for a manifest that was read; of most it is known at no cost."""
        if not self._make_a_difference:
            return manifest.kind
        try:
            return self._known.get(manifest.digest) or self._of(repository, manifest)
        except (ManifestError, NotFound):
            return None

    def _of(self, repository: str, manifest: Manifest) -> Kind:
        kind = self._look(repository, manifest)
        if len(self._known) >= self.LIMIT:
            self._known.clear()
        self._known[manifest.digest] = kind
        return kind

    def _look(self, repository: str, manifest: Manifest, depth: int = 3) -> Kind:
        """An index without a type of its own is what its first child is."""
        if manifest.kind is not None:
            return manifest.kind
        if not depth:
            return Kind.OTHER
        child = self._source.get_manifest(repository, manifest.children[0].digest)
        return self._look(repository, child, depth - 1)


def judge(spec: Spec, tag: str, held: str, there: str, kind: Kind | None = None) -> Decision:
    """What happens to a tag, from the digests that its two sides hold; blank where a side holds nothing."""
    if not held:
        return Decision(tag, Action.VANISHED)
    if kind is not None and kind not in spec.kinds:
        return Decision(tag, Action.LEFT_OUT, held, kind=kind)
    if not there:
        action = Action.COPY
    elif there == held:
        action = Action.UNCHANGED
    else:
        action = Action.OVERWRITE if spec.overwrite else Action.CONFLICT
    return Decision(tag, action, held, there, kind)


class Planner:
    """Compares the two sides of a tag: one HEAD each."""

    def __init__(self, source: Client, target: Client, spec: Spec) -> None:
        self._source = source
        self._target = target
        self._spec = spec
        self._kinds = Kinds(source, spec.kinds)

    def decide(self, repository: str, tag: str) -> Decision:
        """Raises OciError, located on its side."""
        with taking_names(f"compare {repository}:{tag}"):
            held = self._source.head_manifest(repository, tag)
            if held is None:
                return judge(self._spec, tag, "", "")
            read = partial(self._source.get_manifest, repository, held.digest)
            there = digest_there(self._target, self._spec.target_repository(repository), tag, held.digest, read)
            return judge(self._spec, tag, held.digest, there or "", self._kinds.look_up(repository, held.digest))


def digest_there(target: Client, repository: str, tag: str, held: str, read: Callable[[], Manifest]) -> str | None:
    """The digest that the target's tag has, "" when there is no such tag; None when it does not let us look.

    held, read: see Client.look_beside.
    """
    try:
        return target.look_beside(repository, tag, held, read)
    except (Unauthorized, Denied):
        return None
