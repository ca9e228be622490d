"""Asking registries whether they hold something: all at once, and for no longer than a person waits."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from time import monotonic

from sync.credentials import CredentialKeyMissing
from sync.models import Instance
from sync.oci.client import Client
from sync.oci.errors import OciError
from sync.oci.manifest import Kind
from sync.oci.reference import InvalidReference
from sync.replication.plan import Kinds, digest_there
from sync.services.connect import hasty_endpoint, keeps_parts, reach, registry_at
from sync.services.locate.routes import Place, Route

SECONDS = 4.0
INSTANCES_AT_ONCE = 64


class State(StrEnum):
    THERE = "There"
    ABSENT = "Not there"
    UNKNOWN = "Not known"


@dataclass(frozen=True)
class Seen:
    """What a registry said of a place. kind: where it was asked for and can be told. problem: why it is not known."""

    state: State
    digest: str = ""
    kind: Kind | None = None
    problem: str = ""


NOT_ASKED = Seen(State.UNKNOWN, problem="Not asked: you may not see this instance, or too many rules lead there.")


def ask(
    places: Iterable[Place], reference: str, kinds_at: Collection[Place] = (), seconds: float = SECONDS
) -> dict[Place, Seen]:
    """What each place holds under a tag or digest. Who has not answered after so many seconds is told as such."""
    names: defaultdict[Instance, list[Place]] = defaultdict(list)
    for place in dict.fromkeys(places):
        names[place.instance].append(place)
    if not names:
        return {}
    answers: dict[Place, Seen] = {}
    pool = ThreadPoolExecutor(min(len(names), INSTANCES_AT_ONCE))
    asking = partial(_ask_instance, reference=reference, kinds_at=kinds_at, seconds=seconds, answers=answers)
    wait([pool.submit(asking, instance, there) for instance, there in names.items()], seconds)
    # Who is late ends by the time limits of its own connection; nobody waits for that.
    pool.shutdown(wait=False, cancel_futures=True)
    answered = dict(answers)
    return {place: answered.get(place) or _late(place, seconds) for there in names.values() for place in there}


def as_brought(
    routes: Iterable[Route], seen: Mapping[Place, Seen], tag: str, seconds: float = SECONDS
) -> dict[Place, Seen]:
    """Of targets that keep manifests in a form of their own: the digest of the source where the content is that one's.

    It is the digest that a run sees there, and that its rule has brought. Who is late stays as seen.
    """
    pairs = [
        (route.source, route.target)
        for route in routes
        if tag and not keeps_parts(route.target.instance) and _differ(seen.get(route.source), seen.get(route.target))
    ]
    if not pairs:
        return {}
    equal: dict[Place, Seen] = {}
    pool = ThreadPoolExecutor(min(len(pairs), INSTANCES_AT_ONCE))
    wait([pool.submit(_look_beside, *pair, seen, tag, seconds, equal) for pair in pairs], seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return dict(equal)


def _differ(source: Seen | None, target: Seen | None) -> bool:
    return bool(source and target and source.digest and target.digest and source.digest != target.digest)


def _look_beside(
    source: Place, target: Place, seen: Mapping[Place, Seen], tag: str, seconds: float, equal: dict[Place, Seen]
) -> None:
    held = seen[source].digest
    try:
        with (
            closing(_hasty_client(source.instance, seconds)) as from_,
            closing(_hasty_client(target.instance, seconds)) as to,
        ):
            read = partial(from_.get_manifest, source.repository, held)
            if digest_there(to, target.repository, tag, held, read) == held:
                equal[target] = replace(seen[target], digest=held)
    except (OciError, CredentialKeyMissing):
        return  # what was seen of the target stays


def _late(place: Place, seconds: float) -> Seen:
    return Seen(State.UNKNOWN, problem=f"{place.instance.name} did not answer within {seconds:g} seconds.")


def _ask_instance(
    instance: Instance,
    places: Sequence[Place],
    reference: str,
    kinds_at: Collection[Place],
    seconds: float,
    answers: dict[Place, Seen],
) -> None:
    """Without the database: this is another thread."""
    try:
        client = _hasty_client(instance, seconds)
    except CredentialKeyMissing as error:
        answers.update(dict.fromkeys(places, Seen(State.UNKNOWN, problem=f"{instance.name}: {error}")))
        return
    with closing(client):
        no_registry: str | None = None
        for place in places:
            seen = _ask_place(client, place.repository, reference, with_kind=place in kinds_at)
            if seen.state is State.ABSENT:
                no_registry = _no_registry(client) if no_registry is None else no_registry
                seen = Seen(State.UNKNOWN, problem=no_registry) if no_registry else seen
            answers[place] = seen


def _hasty_client(instance: Instance, seconds: float) -> Client:
    """What its kind speaks by. One attempt per question, none after the seconds have passed."""
    until = monotonic() + seconds
    endpoint = hasty_endpoint(instance, seconds)
    return registry_at(instance, endpoint, cancelled=lambda: monotonic() > until, attempts=1).client


def _ask_place(client: Client, repository: str, reference: str, *, with_kind: bool) -> Seen:
    try:
        held = client.head_manifest(repository, reference)
    except (OciError, InvalidReference) as error:
        return Seen(State.UNKNOWN, problem=str(error))
    if held is None:
        return Seen(State.ABSENT)
    return Seen(State.THERE, held.digest, _kind(client, repository, held.digest) if with_kind else None)


def _no_registry(client: Client) -> str:
    """Why this is none, or blank: any web server says 404 of what it has never heard of."""
    try:
        reach(client)
    except OciError as error:
        return str(error)
    return ""


def _kind(client: Client, repository: str, digest: str) -> Kind | None:
    """None where it cannot be read: the copy tells why."""
    try:
        return Kinds(client, frozenset()).look_up(repository, digest)
    except OciError:
        return None
