"""Reaching instances: clients, and what namespaces there are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from threading import Timer
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.cache import cache

from sync.credentials import CredentialKeyMissing
from sync.limits import Limit
from sync.models import Instance
from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Cancelled, Denied, OciError, Unauthorized
from sync.oci.guest import CONNECTIONS_PER_PROCESS, NO_LIMITS, Limits
from sync.registries import KINDS, Management, Registry
from sync.registries import open_registry as open_kind
from sync.services import pulls

NAMESPACES_CACHED_SECONDS = 60
FAILURE_CACHED_SECONDS = 30
NAMESPACES_SHOWN = 200
# Of one answer, and of all answers together.
LOOK_SECONDS = 5.0
PATIENCE_SECONDS = 2 * LOOK_SECONDS


def endpoint_of(instance: Instance) -> Endpoint:
    return Endpoint(
        url=instance.url,
        name=instance.name,
        ca_certificate=instance.ca_certificate,
        proxy=instance.proxy,
        allow_plain_http=instance.allow_plain_http,
        connect_timeout=instance.connect_timeout,
        read_timeout=instance.read_timeout,
        private_addresses=instance.private_addresses or settings.INSTANCE_PRIVATE_ADDRESSES,
    )


def hasty_endpoint(
    instance: Instance, seconds: float, *, to_connect: float | None = None, connections: int = CONNECTIONS_PER_PROCESS
) -> Endpoint:
    """The instance for somebody who waits: no answer may take longer than so many seconds."""
    endpoint = endpoint_of(instance)
    return replace(
        endpoint,
        connect_timeout=min(endpoint.connect_timeout, to_connect or seconds),
        read_timeout=min(endpoint.read_timeout, seconds),
        max_connections=min(connections, instance.max_connections or connections),
    )


def limit_of(instance: Instance) -> Limit:
    """What all workers together may do to it."""
    return Limit(instance.pk, instance.max_connections, instance.max_bytes_per_second)


def open_registry(
    instance: Instance,
    side: str = "",
    cancelled: Callable[[], bool] = lambda: False,
    limits: Limits = NO_LIMITS,
) -> Registry:
    """The instance as source or target of a run. Raises CredentialKeyMissing."""
    return registry_at(
        instance,
        endpoint_of(instance),
        side=side,
        cancelled=cancelled,
        manifest_limit=settings.MANIFEST_LIMIT_BYTES,
        limits=limits,
    )


def registry_at(instance: Instance, endpoint: Endpoint, **options: Any) -> Registry:
    """The instance as the kind of registry that it is, over a client of its own (see sync.registries.open_registry).

    Raises CredentialKeyMissing.
    """
    return open_kind(instance.kind, endpoint, credential_of(instance), management_of(instance), **options)


def keeps_parts(instance: Instance) -> bool:
    """Whether it keeps manifests under their digests (see sync.oci.client.Client)."""
    return KINDS[instance.kind].client_class.keeps_parts


def reach(client: Client) -> OciError | None:
    """Asks a side once before its many resources are asked for: a wrong address is one sentence, not thousands.

    "No right" is returned and left to the resources: some registries refuse the bare question and answer for
    repositories, others serve what is public whatever the credential (P-23).
    """
    try:
        client.ping()
    except (Unauthorized, Denied) as refusal:
        return refusal
    return None


def credential_of(instance: Instance) -> Credential | None:
    return Credential(instance.username, instance.password) if instance.username else None


def management_of(instance: Instance) -> Management:
    """Raises CredentialKeyMissing."""
    key = instance.api_key if instance.encrypted_api_key else ""
    return Management(instance.api_key_id, key, instance.api_region, instance.registry_id, instance.api_address)


@dataclass(frozen=True)
class Namespaces:
    """The namespaces of an instance, with how many repositories each has.

    `problem` is a sentence when it lists none to us. `asked`: whether it was asked for them at all.
    `expected`: no registry of the kind lists any, which is no fault.
    """

    counts: dict[str, int] = field(default_factory=dict)
    problem: str = ""
    asked: bool = True
    expected: bool = False

    @property
    def names(self) -> list[str]:
        return list(self.counts)

    @property
    def shown(self) -> list[tuple[str, int]]:
        """As many as a page holds."""
        return list(self.counts.items())[:NAMESPACES_SHOWN]

    @property
    def more(self) -> int:
        return len(self.counts) - len(self.shown)


NOT_ASKED = Namespaces(asked=False)


def namespaces(instance: Instance, *, refresh: bool = False) -> Namespaces:
    """Cached for a minute, a failure for half of it. A person waits: a registry that is slow is given up early."""
    known = NOT_ASKED if refresh else remembered_namespaces(instance)
    if known.asked:
        return known
    try:
        with impatient(instance) as registry:
            found, seconds = Namespaces(list_namespaces(registry)), NAMESPACES_CACHED_SECONDS
    except (OciError, CredentialKeyMissing) as error:
        expected = not KINDS[instance.kind].has_catalog
        found, seconds = Namespaces(problem=str(error), expected=expected), FAILURE_CACHED_SECONDS
    cache.set(_namespaces_key(instance), found, seconds)
    return found


def remembered_namespaces(instance: Instance) -> Namespaces:
    """Those that are known without asking the registry."""
    known: Namespaces = cache.get(_namespaces_key(instance), NOT_ASKED)
    return known


def _namespaces_key(instance: Instance) -> str:
    return f"namespace-counts:{instance.pk}:{reached_by(instance)}"


def reached_by(instance: Instance) -> str:
    """Changes with whatever may make it answer otherwise. Secrets are not in it, only when they were set."""
    account = f"{instance.username} {instance.password_set_at}"
    api = f"{instance.api_key_id} {instance.api_key_set_at} {instance.api_region} {instance.registry_id}"
    asked = f"{instance.kind} {endpoint_of(instance)} {account} {api} {instance.api_address}"
    return sha256(asked.encode()).hexdigest()


def list_namespaces(registry: Registry) -> dict[str, int]:
    """Raises OciError; when we gave up, one that says so."""
    try:
        return registry.namespaces()
    except Cancelled:
        raise OciError(f"The registry did not list its namespaces within {PATIENCE_SECONDS:g} seconds.") from None


@contextmanager
def impatient(instance: Instance) -> Iterator[Registry]:
    """The registry for somebody who waits: one attempt, short time limits, given up altogether after some seconds."""
    deadline = monotonic() + PATIENCE_SECONDS
    endpoint = hasty_endpoint(instance, LOOK_SECONDS)
    registry = registry_at(instance, endpoint, cancelled=lambda: monotonic() > deadline, attempts=1)
    # An answer that trickles in is not waited for, either.
    end = Timer(PATIENCE_SECONDS, registry.client.abort)
    end.daemon = True
    end.start()
    try:
        yield registry
    finally:
        end.cancel()
        pulls.note(instance, registry)
        registry.client.close()
