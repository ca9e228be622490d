"""What registries tell of their pushes and deletions: the bodies of their notifications, as typed values.

Understood are the envelope of CNCF distribution, Harbor's own payload (which TCR has, too) and its CloudEvents, zot's
CloudEvents (in the body, or with the attributes in headers), and plain JSON of scripts. What nobody asked for gives
nothing; so do names that no registry can have, for a registry would send them again and again. A script is told what is
wrong with its names.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sync.oci.reference import InvalidReference, check_repository, check_tag, is_digest, parse_digest

PUSH, DELETE = "push", "delete"
MOST_EVENTS = 5000
ACTOR_CHARACTERS = 150

# Harbor's types, those of its versions before 2.0 (which TCR uses), in small letters without underscores.
_OF_HARBOR = {
    **dict.fromkeys(("pushartifact", "pushimage", "uploadchart", "createtag"), PUSH),
    **dict.fromkeys(("deleteartifact", "deleteimage", "deletechart"), DELETE),
}
# By the end of a CloudEvent's type: what is before it can be configured in zot.
_HARBOR_EVENTS = {"artifact.pushed": PUSH, "tag.created": PUSH, "artifact.deleted": DELETE}
_ZOT_EVENTS = {"image.updated": PUSH, "image.deleted": DELETE}
_MANIFESTS = ("manifest.v1+json", "manifest.v2+json", "manifest.list.v2+json", "image.index.v1+json", "v1+prettyjws")

Document = Mapping[str, Any]


class NotUnderstood(ValueError):
    """The body is no notification. The message is a full sentence for a person."""


@dataclass(frozen=True)
class Told:
    """`action` is PUSH or DELETE. A push without tag is that of a part, as a child of an index.

    A deletion names the tag, or the digest of which every tag is gone.
    """

    action: str
    repository: str
    tag: str = ""
    digest: str = ""
    actor: str = ""
    media_type: str = ""


def parse(body: bytes, event_type: str = "") -> list[Told]:
    """What the body tells, in its order. Raises NotUnderstood.

    `event_type`: the header `ce-type` of a CloudEvent in binary mode (CloudEvents HTTP binding 1.0, section 3.1).
    """
    found = list(islice(_read(_decode(body), event_type), MOST_EVENTS + 1))
    if len(found) > MOST_EVENTS:
        raise NotUnderstood(f"More than {MOST_EVENTS} events in one notification: send them in several.")
    return found


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NotUnderstood("The body is not JSON.") from None


def _read(document: Any, event_type: str) -> Iterator[Told]:
    if event_type:
        yield from _cloud_event(event_type, document, "")
    elif isinstance(document, list):
        for item in document:
            yield from _one(_mapping(item, "each item of the list"))
    else:
        yield from _one(_mapping(document, "the body"))


def _one(document: Document) -> Iterator[Told]:
    """A notification by its shape."""
    if "events" in document:
        yield from _envelope(document["events"])
    elif "specversion" in document:
        yield from _cloud_event(_text(document, "type"), document.get("data"), _text(document, "operator"))
    elif "event_data" in document or "occur_at" in document:
        action = _OF_HARBOR.get(_text(document, "type").replace("_", "").lower())
        if action:
            yield from _harbor(action, document.get("event_data"), _text(document, "operator"))
    elif "repository" in document:
        yield _plain(document)
    else:
        raise NotUnderstood(
            "This is no notification of a known kind: expected is that of CNCF distribution, Harbor, TCR or zot, "
            'or {"repository": "…", "tag": "…"}.'
        )


def _envelope(events: Any) -> Iterator[Told]:
    """CNCF distribution, notifications/event.go: an event for each manifest, and for each blob."""
    if events is not None and not isinstance(events, list):
        raise NotUnderstood("“events” must be a list.")
    for item in events or ():
        event = _mapping(item, "each event")
        if event.get("action") in (PUSH, DELETE):
            yield from _of_distribution(event)


def _of_distribution(event: Document) -> Iterator[Told]:
    target = _mapping(event.get("target"), "“target”")
    actor = _mapping(event.get("actor") or {}, "“actor”")
    told = Told(
        action=event["action"],
        repository=_text(target, "repository"),
        tag=_text(target, "tag"),
        digest=_text(target, "digest"),
        actor=_text(actor, "name"),
        media_type=_text(target, "mediaType"),
    )
    of_manifest = told.media_type.endswith(_MANIFESTS) or "/manifests/" in _text(target, "url")
    if told.action == DELETE or told.tag or of_manifest:
        yield from _possible(told)


def _cloud_event(event_type: str, data: Any, actor: str) -> Iterator[Told]:
    kind = ".".join(event_type.rsplit(".", 2)[-2:])
    if kind in _HARBOR_EVENTS:
        yield from _harbor(_HARBOR_EVENTS[kind], data, actor)
    elif kind in _ZOT_EVENTS:
        yield from _zot(_ZOT_EVENTS[kind], data)


def _harbor(action: str, data: Any, actor: str) -> Iterator[Told]:
    """Harbor, src/pkg/notifier/model/event.go: what has no tag has its digest in the place of one.

    A deletion takes all tags of an artifact, and names the first.
    """
    data = _mapping(data, "the event's data")
    repository = _mapping(data.get("repository") or {}, "“repository”")
    parts = (_text(repository, "namespace"), _text(repository, "name"))
    name = _text(repository, "repo_full_name") or "/".join(part for part in parts if part)
    resources = data.get("resources") or []
    if not isinstance(resources, list):
        raise NotUnderstood("“resources” must be a list.")
    for item in resources:
        resource = _mapping(item, "each resource")
        told = Told(action, name, _text(resource, "tag"), _text(resource, "digest"), actor)
        yield from _possible(told)
        if action == DELETE and told.digest and told.tag != told.digest:
            yield from _possible(replace(told, tag=""))


def _zot(action: str, data: Any) -> Iterator[Told]:
    """zot, pkg/extensions/events/events.go: `reference` is a tag or a digest."""
    data = _mapping(data, "the event's data")
    names = (_text(data, "name"), _text(data, "reference"), _text(data, "digest"))
    yield from _possible(Told(action, *names, media_type=_text(data, "mediaType")))


def _plain(document: Document) -> Told:
    """What a script says; every name must be right."""
    action = _text(document, "action") or PUSH
    if action not in (PUSH, DELETE):
        raise NotUnderstood("“action” must be push or delete.")
    told = Told(action, *(_text(document, name) for name in ("repository", "tag", "digest", "actor")))
    told = replace(told, tag=_as_tag(told.tag))
    if not told.tag and (action == PUSH or not told.digest):
        raise NotUnderstood("Name the tag." if action == PUSH else "Name the tag or the digest.")
    try:
        check_repository(told.repository)
        if told.tag:
            check_tag(told.tag)
        if told.digest:
            parse_digest(told.digest)
    except InvalidReference as error:
        raise NotUnderstood(str(error)) from None
    return replace(told, actor=_shown(told.actor))


def _possible(told: Told) -> Iterator[Told]:
    """With a digest in the place of the tag moved to its own; nothing when no registry can have such names."""
    tag = "" if is_digest(told.tag) else _as_tag(told.tag)
    digest = told.tag if is_digest(told.tag) else told.digest if is_digest(told.digest) else ""
    try:
        check_repository(told.repository)
        if tag:
            check_tag(tag)
    except InvalidReference:
        return
    if tag or digest:
        yield replace(told, tag=tag, digest=digest, actor=_shown(told.actor))


def _as_tag(version: str) -> str:
    """Helm writes the + of a version as _ where it becomes a tag."""
    return version.replace("+", "_")


def _shown(actor: str) -> str:
    """Databases and pages take no control characters."""
    return "".join(sign for sign in actor if sign.isprintable())[:ACTOR_CHARACTERS]


def _mapping(value: Any, what: str) -> Document:
    if not isinstance(value, dict):
        raise NotUnderstood(f"{what[0].upper()}{what[1:]} must be a JSON object.")
    return value


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotUnderstood(f"“{name}” must be a text.")
    return value
