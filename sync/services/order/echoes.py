"""Telling pushes from what the console wrote itself."""

from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from sync.models import Notification, TagOrigin
from sync.services.order.places import TagKey, among, known_places, newest, note, origin

AWAITED = timedelta(hours=1)


def note_pushes(notifications: Sequence[Notification]) -> None:
    """Gives pushes their place, in the caller's transaction, and marks those that are echoes of our own writing."""
    told = [one for one in notifications if one.action == Notification.Action.PUSH and one.tag and one.digest]
    keys = {key_of(one) for one in told}
    awaited, places = _awaited(keys), known_places(keys)
    noted: list[TagOrigin] = []
    for one in told:
        key = key_of(one)
        if one.own:
            continue
        if (written := awaited.pop((key, one.digest), None)) is not None:
            one.echo = written.echoed = True
            noted.append(written)
        elif newest(places, key)[0] != one.digest:
            places.setdefault(key, {})[one.digest] = one.pk
            noted.append(origin(key, one.digest, one.pk))
    note(noted)


def key_of(notification: Notification) -> TagKey:
    return TagKey(notification.instance_id, notification.repository, notification.tag)


def _awaited(keys: set[TagKey]) -> dict[tuple[TagKey, str], TagOrigin]:
    """What we wrote to these tags and heard no echo of; one that comes late is taken for a push, which does no harm."""
    rows = TagOrigin.objects.filter(among(keys), written=True, echoed=False, at__gte=timezone.now() - AWAITED)
    return {(TagKey(row.instance_id, row.repository, row.tag), row.digest): row for row in rows}
