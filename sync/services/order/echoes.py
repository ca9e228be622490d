"""Telling pushes from what the console wrote itself."""

from collections.abc import Sequence

from sync.models import Notification, TagOrigin
from sync.services.order.places import UNSEEN, TagKey, awaits_echo, known_of, newest, note, origin


def note_pushes(notifications: Sequence[Notification]) -> None:
    """Gives pushes their place, in the caller's transaction, and marks those that are echoes of our own writing.

    What was told without a digest, or of one that the tag has held before, may be a late echo as well: whoever looks at
    the tag next knows.
    """
    told = [one for one in notifications if one.action == Notification.Action.PUSH and one.tag and not one.own]
    places = known_of({_key_of(one) for one in told}).places
    noted: list[TagOrigin] = []
    for one in told:
        held = places.setdefault(_key_of(one), {})
        known, last = held.get(one.digest), newest(places, _key_of(one))
        if known is not None and awaits_echo(known):
            one.echo = known.echoed = True
            noted.append(known)
        elif not one.digest or (known is not None and known is not last):
            noted.append(origin(_key_of(one), UNSEEN + one.digest, one.pk))
        elif known is None:
            held[one.digest] = origin(_key_of(one), one.digest, one.pk)
            noted.append(held[one.digest])
    note(noted)


def _key_of(notification: Notification) -> TagKey:
    return TagKey(notification.instance_id, notification.repository, notification.tag)
