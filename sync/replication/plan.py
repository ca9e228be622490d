"""What a run would do: which repositories and tags match, and for each tag what its two sides hold."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from sync.oci.client import Client
from sync.oci.errors import Denied, ManifestError, NotFound, OciError, Unauthorized
from sync.oci.manifest import Kind, Manifest
from sync.oci.reference import InvalidReference, check_repository, check_tag, is_digest_tag, join_namespace
from sync.registries import Registry
from sync.replication.spec import Spec

log = logging.getLogger(__name__)


class Action(StrEnum):
    COPY = "copy"
    OVERWRITE = "overwrite"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    LEFT_OUT = "left out"
    VANISHED = "vanished"


@dataclass(frozen=True)
class Decision:
    """What happens to one tag. Digests are those seen by the check; blank where a side holds nothing.

    `blind`: the target did not let us look, so the tag may be there.
    """

    tag: str
    action: Action
    digest: str = ""
    target_digest: str = ""
    kind: Kind | None = None
    blind: bool = False


@dataclass(frozen=True)
class Tags:
    """The matching tags of a repository, and the digest tags under which signatures and other referrers lie.

    `missing`: the registry says that there is no such repository.
    """

    matching: list[str] = field(default_factory=list)
    digest_tags: frozenset[str] = frozenset()
    missing: bool = False


def list_repositories(source: Registry, spec: Spec) -> Iterator[str]:
    """Whole names of the repositories that match. Names that are spelled out need no listing.

    Names that no repository can have are left out, whoever gives them.
    """
    literals = spec.repositories.literals()
    if literals is None:
        names = source.repositories(spec.source_namespace)
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
def _taking_names(operation: str) -> Iterator[None]:
    """A name that no registry takes, listed by the source or made by the rule, becomes an OciError like any other."""
    try:
        yield
    except InvalidReference as error:
        raise OciError(str(error), operation=operation, hint="Compare the namespaces of the rule.") from None


def list_tags(source: Client, spec: Spec, repository: str) -> Tags:
    """The tags of one repository, sorted. A repository that is not there has none. Raises OciError."""
    matching: list[str] = []
    digest_tags: set[str] = set()
    try:
        with _taking_names(f"list the tags of {repository}"):
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


class Kinds:
    """What kind of resource a digest is. A digest never changes its kind, so each is looked up once."""

    def __init__(self, source: Client) -> None:
        self._source = source
        self._known: dict[str, Kind] = {}
        self._lock = threading.Lock()

    def of(self, repository: str, digest: str) -> Kind:
        with self._lock:
            known = self._known.get(digest)
        if known is None:
            known = self._look(repository, digest)
            with self._lock:
                self._known[digest] = known
        return known

    def _look(self, repository: str, digest: str, depth: int = 3) -> Kind:
        """Reads the manifest; an index without a type of its own is what its first child is."""
        manifest: Manifest = self._source.get_manifest(repository, digest)
        if manifest.kind is not None:
            return manifest.kind
        if not depth:
            return Kind.OTHER
        return self._look(repository, manifest.children[0].digest, depth - 1)


class Planner:
    """Compares the two sides of a tag: one HEAD each."""

    def __init__(self, source: Client, target: Client, spec: Spec) -> None:
        self._source = source
        self._target = target
        self._spec = spec
        self.kinds = Kinds(source)

    def decide(self, repository: str, tag: str, verified: str = "") -> Decision:
        """Raises OciError, located on its side. `verified`: a digest whose kind is known to be asked for."""
        with _taking_names(f"compare {repository}:{tag}"):
            return self._decide(repository, tag, verified)

    def _decide(self, repository: str, tag: str, verified: str) -> Decision:
        held = self._source.head_manifest(repository, tag)
        if held is None:
            return Decision(tag, Action.VANISHED)
        kind = None if held.digest == verified else self._kind(repository, held.digest)
        if kind is not None and kind not in self._spec.kinds:
            return Decision(tag, Action.LEFT_OUT, held.digest, kind=kind)
        try:
            there = self._target.head_manifest(self._spec.target_repository(repository), tag)
        except (Unauthorized, Denied):
            return Decision(tag, Action.COPY, held.digest, kind=kind, blind=True)
        target_digest = there.digest if there else ""
        return Decision(tag, self._action(held.digest, target_digest), held.digest, target_digest, kind)

    def _kind(self, repository: str, digest: str) -> Kind | None:
        """None where it makes no difference, and for a manifest that cannot be read: copying it fails and tells why."""
        if self._spec.kinds == set(Kind):
            return None
        try:
            return self.kinds.of(repository, digest)
        except (ManifestError, NotFound):
            return None

    def _action(self, digest: str, target_digest: str) -> Action:
        if not target_digest:
            return Action.COPY
        if target_digest == digest:
            return Action.UNCHANGED
        return Action.OVERWRITE if self._spec.overwrite else Action.CONFLICT
