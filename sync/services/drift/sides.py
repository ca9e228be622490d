"""The two sides of a check: asked for somebody who waits; and their lists, as far as the next step needs them again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from django.core.cache import cache

from sync.models import Instance
from sync.oci.client import Client
from sync.oci.errors import Cancelled, OciError, Unreachable
from sync.registries import Registry, registry_of_kind
from sync.services.connect import credential_of, endpoint_of

# For so long may one list take, or a few comparisons.
CALL_SECONDS = 10.0
CALLS_AT_ONCE = 16
KEPT_SECONDS = 600
# What would be larger is not kept: it is asked for again.
MOST_KEPT = 250_000


def open_side(instance: Instance, side: str, cancelled: Callable[[], bool]) -> Registry:
    """Asks twice at most, and no longer than a person waits. Raises CredentialKeyMissing."""
    endpoint = endpoint_of(instance)
    hasty = replace(
        endpoint,
        connect_timeout=min(endpoint.connect_timeout, CALL_SECONDS / 2),
        read_timeout=min(endpoint.read_timeout, CALL_SECONDS),
        max_connections=min(CALLS_AT_ONCE, instance.max_connections or CALLS_AT_ONCE),
    )
    client = Client(hasty, credential_of(instance), side=side, cancelled=cancelled, attempts=2)
    return registry_of_kind(instance.kind, client)


def late(error: OciError) -> OciError:
    """What a call says that was given up because it took too long; any other error as it is."""
    if not isinstance(error, Cancelled):
        return error
    words = f"no complete answer within {CALL_SECONDS:g} seconds"
    return Unreachable(words, side=error.side, registry=error.registry, operation=error.operation)


@dataclass(frozen=True)
class Lists:
    """The matching tags of a repository on its two sides. error: why one of them is not known."""

    ours: frozenset[str] = frozenset()
    theirs: frozenset[str] | None = frozenset()
    error: OciError | None = None

    def __len__(self) -> int:
        return len(self.ours) + len(self.theirs or ())


@dataclass
class Kept:
    """Lists of a check, kept between its steps where the web process keeps such things: never in the database.

    names: of the source's repositories, sorted. others: those of the target alone, as the source would name them.
    """

    names: list[str] | None = None
    others: list[str] | None = None
    lists: dict[str, Lists] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str) -> "Kept":
        return cache.get(f"drift:{key}") or cls()

    def keep(self, key: str) -> None:
        # What could not be listed is asked for again.
        self.lists = {name: lists for name, lists in self.lists.items() if not lists.error}
        size = len(self.names or ()) + len(self.others or ()) + sum(map(len, self.lists.values()))
        if size <= MOST_KEPT:
            cache.set(f"drift:{key}", self, KEPT_SECONDS)

    @staticmethod
    def forget(key: str) -> None:
        cache.delete(f"drift:{key}")
