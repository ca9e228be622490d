"""The digests of a whole namespace, listed once and kept small: 150,000 tags take about 8 MB."""

import threading
from collections.abc import Callable, Iterable, Iterator
from time import monotonic

Row = tuple[str, str, str]
"""Repository, tag, digest."""
DIGEST = 32
LONGEST_TAG = 128


class Listing:
    """Filled page by page, in any order; goes on where it was broken off. Safe for many threads.

    What was taken is forgotten: each repository is looked at once. at_most: the pages that it may cost, None: as many
    as there are; whoever fills it leaves it empty where it would cost more.
    """

    def __init__(self, at_most: int | None = None) -> None:
        self.at_most = at_most
        self.began = monotonic()
        self._lock = threading.Lock()
        self._filled: set[int] = set()
        self._complete = False
        # Of each tag its digest, its length and itself, one after the other.
        self._known: dict[str, bytearray] = {}

    def fill(self, read: Callable[[Callable[[int], bool], Callable[[int, Iterable[Row]], None]], None]) -> None:
        """Calls `read(has, put)` unless all is there: it puts each page that the listing does not have yet.

        Others wait meanwhile. What `read` raises leaves the listing with the pages that came.
        """
        with self._lock:
            if not self._complete:
                read(self._filled.__contains__, self._put)
                self._complete = True

    def _put(self, page: int, rows: Iterable[Row]) -> None:
        for repository, tag, digest in rows:
            algorithm, _, value = digest.partition(":")
            name = tag.encode()
            if algorithm == "sha256" and len(name) <= LONGEST_TAG:
                self._known.setdefault(repository, bytearray()).extend(bytes.fromhex(value) + bytes([len(name)]) + name)
        self._filled.add(page)

    @property
    def pages(self) -> int:
        """How many came."""
        return len(self._filled)

    @property
    def repositories(self) -> list[str]:
        """Those that have a tag, sorted."""
        return sorted(self._known)

    def take(self, repository: str) -> dict[str, str] | None:
        """The digests by tag of a repository; None when it was taken before, or is not listed."""
        known = self._known.pop(repository, None)
        return None if known is None else dict(_read(known))


def _read(packed: bytearray) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(packed):
        digest, length = packed[at : at + DIGEST], packed[at + DIGEST]
        at += DIGEST + 1 + length
        yield packed[at - length : at].decode(), f"sha256:{digest.hex()}"
