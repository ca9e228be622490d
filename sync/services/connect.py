"""Reaching instances: clients, what namespaces there are, and whether the connection works."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from threading import Timer
from time import monotonic
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.utils.crypto import salted_hmac

from sync.credentials import CredentialKeyMissing
from sync.limits import Limit
from sync.models import Instance
from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Cancelled, Denied, OciError, RegistryAnswer, Unauthorized
from sync.oci.guest import CONNECTIONS_PER_PROCESS, NO_LIMITS, Limits
from sync.registries import Registry, registry_of_kind
from sync.services import outages

NAMESPACES_CACHED_SECONDS = 60
FAILURE_CACHED_SECONDS = 30
NAMESPACES_SHOWN = 200
# Of one answer, and of all answers together.
LOOK_SECONDS = 5.0
PATIENCE_SECONDS = 2 * LOOK_SECONDS
# So long what a test of the connection found is taken for the health of what is saved then.
TESTED_SECONDS = 600
TESTED = "tested connection"
# Never pushed: a push to it is begun and given up to learn whether pushing is allowed.
PROBE_REPOSITORY = "tcrconsole-connection-test/probe"


def endpoint_of(instance: Instance) -> Endpoint:
    return Endpoint(
        url=instance.url,
        name=instance.name,
        ca_certificate=instance.ca_certificate,
        proxy=instance.proxy,
        allow_plain_http=instance.allow_plain_http,
        connect_timeout=instance.connect_timeout,
        read_timeout=instance.read_timeout,
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
    client = Client(
        endpoint_of(instance),
        credential_of(instance),
        side=side,
        cancelled=cancelled,
        manifest_limit=settings.MANIFEST_LIMIT_BYTES,
        limits=limits,
    )
    return registry_of_kind(instance.kind, client)


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


@dataclass(frozen=True)
class Namespaces:
    """The namespaces of an instance, with how many repositories each has.

    `problem` is a sentence when it lists none to us. `asked`: whether it was asked for them at all.
    """

    counts: dict[str, int] = field(default_factory=dict)
    problem: str = ""
    asked: bool = True

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
        with _impatient(instance) as registry:
            found, seconds = Namespaces(_list_namespaces(registry)), NAMESPACES_CACHED_SECONDS
    except (OciError, CredentialKeyMissing) as error:
        found, seconds = Namespaces(problem=str(error)), FAILURE_CACHED_SECONDS
    cache.set(_namespaces_key(instance), found, seconds)
    return found


def remembered_namespaces(instance: Instance) -> Namespaces:
    """Those that are known without asking the registry."""
    known: Namespaces = cache.get(_namespaces_key(instance), NOT_ASKED)
    return known


def _namespaces_key(instance: Instance) -> str:
    return f"namespace-counts:{instance.pk}:{_reached_by(instance)}"


def _reached_by(instance: Instance) -> str:
    """Changes with whatever may make it answer otherwise. The password is not in it, only when it was set."""
    asked = f"{endpoint_of(instance)} {instance.username} {instance.password_set_at}"
    return sha256(asked.encode()).hexdigest()


def _list_namespaces(registry: Registry) -> dict[str, int]:
    """Raises OciError; when we gave up, one that says so."""
    try:
        return registry.namespaces()
    except Cancelled:
        raise OciError(f"The registry did not list its namespaces within {PATIENCE_SECONDS:g} seconds.") from None


@dataclass(frozen=True)
class Finding:
    """One line of a connection test. `ok` is None where the answer is neither good nor bad."""

    what: str
    ok: bool | None
    detail: str = ""
    hint: str = ""


class Tested(list[Finding]):
    """The findings of a test, and what they say of whatever is reached as the tested instance was."""

    latency_ms = 0

    def __init__(self, instance: Instance) -> None:
        super().__init__()
        self._by = _reached_with(instance)

    @property
    def said(self) -> dict[str, Any]:
        problem = next((finding.detail for finding in self if finding.ok is False), "")
        return {"by": self._by, "problem": problem, "latency_ms": self.latency_ms, "answered": bool(self[0].ok)}

    @property
    def signed(self) -> str:
        """For a form that is tested before it is saved: it brings this along, and nobody can make it up."""
        return signing.dumps(self.said, salt=TESTED)


def test_connection(instance: Instance) -> Tested:
    """Tries what synchronizing needs: reach, sign in, list, push. Stores the health of a saved instance."""
    tested = Tested(instance)
    began = monotonic()
    try:
        with _impatient(instance) as registry:
            for finding in _try_all(registry, instance):
                tested.latency_ms = tested.latency_ms or round((monotonic() - began) * 1000)
                tested.append(finding)
    except (OciError, CredentialKeyMissing) as error:
        tested.append(_failed("Reachable", error))
    if instance.pk:
        _note(instance, tested.said)
    return tested


def note_tested(instance: Instance, signed: str) -> None:
    """What was found by a test, maybe before it was saved, is its health if it is reached as the tested one was."""
    try:
        said = signing.loads(signed, salt=TESTED, max_age=TESTED_SECONDS)
    except signing.BadSignature:
        return
    if said["by"] == _reached_with(instance):
        _note(instance, said)


def _note(instance: Instance, said: Mapping[str, Any]) -> None:
    if said["answered"]:
        outages.came_back(instance)
    outages.note_health(instance, said["problem"], latency_ms=said["latency_ms"])


def _reached_with(instance: Instance) -> str:
    """The same for what is reached at the same place, in the same way, with the same password."""
    try:
        credential = credential_of(instance)
        account = credential.basic if credential else ""
    except CredentialKeyMissing:
        account = instance.encrypted_password
    place = replace(endpoint_of(instance), name="")
    return salted_hmac(TESTED, f"{instance.kind} {place} {account}").hexdigest()


def _try_all(registry: Registry, instance: Instance) -> Iterator[Finding]:
    """Ends with the first finding that makes the others senseless."""
    try:
        registry.client.ping()
    except (Unauthorized, Denied) as error:
        yield Finding("Reachable", True, f"A registry answers at {instance.url}.")
        yield _failed("Credential accepted", error)
        return
    except OciError as error:
        yield _failed("Reachable", error)
        return
    yield Finding("Reachable", True, f"A registry answers at {instance.url}.")
    yield _signed_in(registry, instance.username)
    yield _try_listing(registry)
    yield _try_pushing(registry)


def _signed_in(registry: Registry, username: str) -> Finding:
    if not registry.client.asks_for_credential:
        unused = " The one given here is not used." if username else ""
        return Finding("Credential accepted", None, f"The registry asks for no credential.{unused}")
    return Finding("Credential accepted", True, f"Signed in as {username}." if username else "Anonymous access works.")


def _try_listing(registry: Registry) -> Finding:
    try:
        names = _list_namespaces(registry)
    except OciError as error:
        return Finding("Listing allowed", None, str(error), "Rules from here must name their repositories exactly.")
    return Finding("Listing allowed", True, f"{len(names)} namespaces are listed." if names else "It is empty so far.")


def _try_pushing(registry: Registry) -> Finding:
    """Begins an upload and gives it up again: nothing is stored."""
    try:
        upload = registry.client.start_upload(PROBE_REPOSITORY)
    except RegistryAnswer as error:
        return Finding(
            "Push allowed",
            None,
            str(error),
            "It can be a source, or a target for namespaces that this account may write.",
        )
    except OciError as error:
        return _failed("Push allowed", error)
    registry.client.abandon(PROBE_REPOSITORY, upload)
    return Finding("Push allowed", True, "An upload was begun and given up again.")


def _failed(what: str, error: Exception) -> Finding:
    if isinstance(error, OciError):
        return Finding(what, False, error.reason, error.hint)
    return Finding(what, False, str(error))


@contextmanager
def _impatient(instance: Instance) -> Iterator[Registry]:
    """The registry for somebody who waits: one attempt, short time limits, given up altogether after some seconds."""
    deadline = monotonic() + PATIENCE_SECONDS
    endpoint = hasty_endpoint(instance, LOOK_SECONDS)
    client = Client(endpoint, credential_of(instance), cancelled=lambda: monotonic() > deadline, attempts=1)
    # An answer that trickles in is not waited for, either.
    end = Timer(PATIENCE_SECONDS, client.abort)
    end.daemon = True
    end.start()
    try:
        yield registry_of_kind(instance.kind, client)
    finally:
        end.cancel()
        client.close()
