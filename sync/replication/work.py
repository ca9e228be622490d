"""What a run is given to do."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from sys import maxsize

from sync.replication.journey import Journey
from sync.replication.lease import Lease


@dataclass(frozen=True)
class Limits:
    """`calls_at_once`: to both registries together."""

    repositories_at_once: int = 8
    resources_at_once: int = 128
    calls_at_once: int = 32


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
    # The tags of these that the target is trusted to hold still, as long as it lists them.
    trusted: Set[str] = frozenset()
    lease: Lease = field(default_factory=Lease)
    # Tags of the target that are to be deleted, with their digests; and all that are to go, by digest.
    removing: Mapping[str, str] = field(default_factory=dict)
    doomed: Mapping[str, Set[str]] = field(default_factory=dict)
    # Where signatures of given tags lie is asked for by name: of very long lists even the first page is dear.
    unlisted: bool = False
    # What is being copied just now, by tag, for others to look at.
    under_way: dict[str, Journey] = field(default_factory=dict)
