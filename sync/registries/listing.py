"""The digests of a whole namespace, listed once and kept small: 150,000 tags take about 25 MB."""

import threading
from collections.abc import Callable, Iterable
from time import monotonic

Row = tuple[str, str, str]
"""Repository, tag, digest."""


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
        self._known: dict[str, dict[str, bytes]] = {}

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
            if algorithm == "sha256":
                self._known.setdefault(repository, {})[tag] = bytes.fromhex(value)
        self._filled.add(page)

    @property
    def repositories(self) -> list[str]:
        """Those that have a tag, sorted."""
        return sorted(self._known)

    def take(self, repository: str) -> dict[str, str] | None:
        """The digests by tag of a repository; None when it was taken before, or is not listed."""
        known = self._known.pop(repository, None)
        return None if known is None else {tag: f"sha256:{value.hex()}" for tag, value in known.items()}
