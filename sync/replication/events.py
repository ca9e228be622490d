"""What a run tells its caller while it goes on."""

from dataclasses import dataclass
from enum import StrEnum

from sync.oci.errors import OciError
from sync.oci.manifest import Kind


class Outcome(StrEnum):
    """What became of one resource."""

    COPIED = "copied"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    REMOVED = "removed"


@dataclass(frozen=True)
class Event:
    """Something about one repository of the source, by its whole name."""

    repository: str


@dataclass(frozen=True)
class TagsListed(Event):
    """The tags that match, or were asked for; those of a type that was not asked for are still among them.

    `digest_tags`: tags of the source under which signatures and other referrers lie; None where they are not listed.
    """

    tags: tuple[str, ...]
    digest_tags: frozenset[str] | None = frozenset()
    repository_missing: bool = False


@dataclass(frozen=True)
class LeftOut(Event):
    """A tag holds a type of resource that was not asked for."""

    tag: str


@dataclass(frozen=True)
class Vanished(Event):
    """A tag was listed, or asked for, and is no longer in the source."""

    tag: str


@dataclass(frozen=True)
class Kept(Event):
    """A tag of the target that was to be deleted, and was not, for a reason."""

    tag: str
    reason: str


@dataclass(frozen=True)
class BytesMoved(Event):
    """Bytes of a blob went from the source to the target."""

    count: int


@dataclass(frozen=True)
class ResourceDone(Event):
    """A resource has its outcome. A blank tag stands for a repository whose tags could not be listed.

    size: bytes of all its blobs, moved or there already, over all platforms; None where its manifests were not read.
    """

    tag: str
    outcome: Outcome
    digest: str = ""
    target_digest: str = ""
    kind: Kind | None = None
    moved_bytes: int = 0
    size: int | None = None
    error: OciError | None = None


@dataclass(frozen=True)
class RepositoryDone(Event):
    """Nothing more comes about this repository; `interrupted` when the run was told to end before all was done."""

    interrupted: bool = False


@dataclass(frozen=True)
class Tick:
    """Time has passed: the caller may renew its heartbeat."""
