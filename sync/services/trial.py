"""Whether the connection to an instance works: what is tried, what is found, and whose health that is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from django.core import signing
from django.utils.crypto import salted_hmac

from sync.credentials import CredentialKeyMissing
from sync.models import Instance
from sync.oci.errors import Denied, NotFound, OciError, ProtocolViolation, RegistryAnswer, Unauthorized
from sync.registries import Registry, recognized
from sync.services import outages
from sync.services.connect import credential_of, endpoint_of, impatient, list_namespaces, management_of

# So long what a test of the connection found is taken for the health of what is saved then.
TESTED_SECONDS = 600
TESTED = "tested connection"
# Never pushed: a push to it is begun and given up to learn whether pushing is allowed.
PROBE_REPOSITORY = "tcrconsole-connection-test/probe"


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
        with impatient(instance) as registry:
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


def is_reached_alike(one: Instance, other: Instance) -> bool:
    return _reached_with(one) == _reached_with(other)


def _note(instance: Instance, said: Mapping[str, Any]) -> None:
    if said["answered"]:
        outages.came_back(instance)
    outages.note_health(instance, said["problem"], latency_ms=said["latency_ms"])


def _reached_with(instance: Instance) -> str:
    """The same for what is reached at the same place, in the same way, with the same password."""
    try:
        credential = credential_of(instance)
        account = credential.basic if credential else ""
        account += repr(management_of(instance)) + management_of(instance).key
    except CredentialKeyMissing:
        account = instance.encrypted_password + instance.encrypted_api_key
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
        if isinstance(error, NotFound | ProtocolViolation):
            yield from _kind(registry, instance)
        return
    yield Finding("Reachable", True, f"A registry answers at {instance.url}.")
    yield from _kind(registry, instance)
    yield _signed_in(registry, instance.username)
    yield _try_listing(registry)
    yield _try_pushing(registry)
    yield from _pull_limit(registry)


def _kind(registry: Registry, instance: Instance) -> Iterator[Finding]:
    """What it seems to be, when a better kind is there than the one chosen."""
    known = recognized(registry)
    if known and known != instance.kind:
        label = Instance.Kind(known).label
        hint = "Choose that kind: it lists more, and explains more."
        yield Finding("Kind", None, f"It seems to be: {label}. Chosen is: {instance.get_kind_display()}.", hint)
    elif not known and (doubt := registry.doubt()):
        hint = "Compare the kind and the address; OCI registry is right for what has no kind of its own."
        yield Finding("Kind", None, f"{instance.get_kind_display()}: {doubt}", hint)


def _pull_limit(registry: Registry) -> Iterator[Finding]:
    try:
        told = registry.pull_limit(ask=True)
    except OciError as error:
        yield Finding("Pull limit", None, str(error))
        return
    if told:
        yield Finding("Pull limit", None if told.is_reached else True, str(told))


def _signed_in(registry: Registry, username: str) -> Finding:
    if not registry.client.asks_for_credential:
        unused = " The one given here is not used." if username else ""
        return Finding("Credential accepted", None, f"The registry asks for no credential.{unused}")
    return Finding("Credential accepted", True, f"Signed in as {username}." if username else "Anonymous access works.")


def _try_listing(registry: Registry) -> Finding:
    try:
        names = list_namespaces(registry)
    except OciError as error:
        return Finding("Listing allowed", None, str(error), "Rules from here must name their repositories exactly.")
    listed = "1 namespace is" if len(names) == 1 else f"{len(names)} namespaces are"
    return Finding("Listing allowed", True, f"{listed} listed." if names else "It is empty so far.")


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
