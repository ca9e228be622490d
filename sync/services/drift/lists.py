"""Lists of a check: read in steps where they are long, and kept between steps as far as the next one needs them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice

from django.core.cache import cache

from sync.oci.errors import Cancelled, OciError
from sync.oci.list_api import Bookmark

KEPT_SECONDS = 600


@dataclass(frozen=True)
class Listing:
    """The names of a list that match, sorted once it is complete. error: why they are not known, and never will be."""

    names: tuple[str, ...] = ()
    place: Bookmark = field(default_factory=Bookmark)
    complete: bool = False
    error: OciError | None = None

    @property
    def is_read(self) -> bool:
        return self.complete or self.error is not None

    def read_on(self, ask: Callable[[Bookmark], Iterable[str]], limit: int | None = None) -> "Listing":
        """With what comes next: all of it, or so many names, or what comes in time. Raises OciError.

        Raises Cancelled where nothing came in time.
        """
        place, names = replace(self.place), list(self.names)
        try:
            # Unlike a list made of it first, this keeps what came before Cancelled.
            names.extend(islice(ask(place), limit))
            complete = limit is None or len(names) - len(self.names) < limit
        except Cancelled:
            if place == self.place:
                raise
            complete = False
        return Listing(tuple(sorted(set(names)) if complete else names), place, complete)


# A side, and a repository as the source names it; a blank one for the list of the repositories.
Key = tuple[str, str]


class Kept:
    """The lists of one check, where the web process keeps such things: never in the database."""

    def __init__(self, check: str) -> None:
        self._check = check
        self._held: dict[Key, Listing] = {}
        self._changed: set[Key] = set()

    def get(self, key: Key) -> Listing | None:
        """None where it was not begun, or is lost."""
        if key not in self._held and (kept := cache.get(self._entry(key))):
            self._held[key] = kept
        return self._held.get(key)

    def set(self, key: Key, listing: Listing) -> None:
        self._held[key] = listing
        self._changed.add(key)

    def drop(self, key: Key) -> None:
        self._held.pop(key, None)
        cache.delete(self._entry(key))

    def save(self) -> None:
        """Keeps it for the next step. What could not be listed is asked for again."""
        for key, listing in self._held.items():
            if key not in self._changed:
                cache.touch(self._entry(key), KEPT_SECONDS)
            elif not listing.error:
                cache.set(self._entry(key), listing, KEPT_SECONDS)

    def forget(self) -> None:
        for key in {("source", ""), ("target", ""), *self._held}:
            self.drop(key)

    def _entry(self, key: Key) -> str:
        side, repository = key
        return f"drift:{self._check}:{side}:{sha256(repository.encode()).hexdigest()}"
