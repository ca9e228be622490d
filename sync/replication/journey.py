"""One resource on its way."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sync.oci.errors import Cancelled
from sync.oci.reference import digest_tags
from sync.replication.lease import Lease
from sync.replication.plan import DigestTags


def _nobody(count: int) -> None:
    """Nobody wants to know."""


@dataclass
class Journey:
    """From a repository to a repository.

    `digest_tags` are those of the source repository. `sent` holds the digests of manifests brought on this journey,
    `manifests` counts what was written. `on_bytes` is told each number of blob bytes sent. No tag is written any more
    once the `lease` has run out. `expected_bytes` are those of blobs that it sends, as far as is known by now. `size`:
    bytes of all blobs of the resource, sent or there already; None before all its manifests were read.
    """

    source_repository: str
    target_repository: str
    digest_tags: DigestTags = frozenset()
    on_bytes: Callable[[int], None] = _nobody
    lease: Lease = field(default_factory=Lease)
    moved_bytes: int = 0
    expected_bytes: int = 0
    size: int | None = None
    manifests: int = 0
    sent: set[str] = field(default_factory=set)
    referrers_seen: set[str] = field(default_factory=set)
    # Its parts move at the same time.
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def may_find_below(self, digest: str) -> bool:
        """Whether what lies below an index may have digest tags: others than its own are there, or nobody knows."""
        known = self.digest_tags
        return not isinstance(known, frozenset) or bool(known.difference(digest_tags(digest)))

    def check_lease(self) -> None:
        """Call before each try to write: whoever took over may have brought something newer. Raises Cancelled."""
        if not self.lease.holds():
            raise Cancelled("the worker was taken for dead, another goes on")

    def wrote(self) -> None:
        with self._lock:
            self.manifests += 1

    def expect(self, count: int) -> None:
        """So many bytes more are to be sent; fewer when negative."""
        with self._lock:
            self.expected_bytes += count

    def moved(self, count: int) -> None:
        with self._lock:
            self.moved_bytes += count
        self.on_bytes(count)
