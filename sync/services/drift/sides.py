"""The two sides of a check, asked for somebody who waits."""

from collections.abc import Callable

from sync.models import Instance
from sync.oci.errors import Cancelled, OciError, Unreachable
from sync.registries import Registry
from sync.services.connect import hasty_endpoint, registry_at

# For so long may one list take, or a few comparisons.
CALL_SECONDS = 10.0
CALLS_AT_ONCE = 16


def open_side(instance: Instance, side: str, cancelled: Callable[[], bool]) -> Registry:
    """Asks twice at most, and no longer than a person waits. Raises CredentialKeyMissing."""
    endpoint = hasty_endpoint(instance, CALL_SECONDS, to_connect=CALL_SECONDS / 2, connections=CALLS_AT_ONCE)
    return registry_at(instance, endpoint, side=side, cancelled=cancelled, attempts=2)


def late(error: OciError) -> OciError:
    """What a call says that was given up because it took too long; any other error as it is."""
    if not isinstance(error, Cancelled):
        return error
    words = f"no complete answer within {CALL_SECONDS:g} seconds"
    return Unreachable(words, side=error.side, registry=error.registry, operation=error.operation)
