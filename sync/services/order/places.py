"""The place of what a tag holds in the order of pushes."""

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from sync.models import Notification, TagOrigin

# So long the registry's notification of what we wrote is waited for.
AWAITED = timedelta(hours=1)
# Before a digest: a push of it was told, or of something (blank), and nobody has looked yet what the tag holds.
UNSEEN = "?"


class TagKey(NamedTuple):
    instance_id: int
    repository: str
    tag: str


Places = dict[TagKey, dict[str, TagOrigin]]
"""By tag and digest: what it is known to have held."""


class Known(NamedTuple):
    """`unseen`: pushes that were told, of which it is not known that the tag held them, oldest first."""

    places: Places
    unseen: dict[TagKey, list[TagOrigin]]


def among(keys: Collection[TagKey]) -> Q:
    """Rows of these tags, and a few more: compare their keys."""
    found = Q(pk__in=[])
    for instance_id in sorted({key.instance_id for key in keys}):
        of_instance = [key for key in keys if key.instance_id == instance_id]
        names, tags = {key.repository for key in of_instance}, {key.tag for key in of_instance}
        found |= Q(instance=instance_id, repository__in=names, tag__in=tags)
    return found


def key_of(origin: TagOrigin) -> TagKey:
    return TagKey(origin.instance_id, origin.repository, origin.tag)


def known_of(keys: Collection[TagKey]) -> Known:
    known = Known({}, {})
    for row in TagOrigin.objects.filter(among(keys)).order_by("place"):
        if row.digest.startswith(UNSEEN):
            known.unseen.setdefault(key_of(row), []).append(row)
        else:
            known.places.setdefault(key_of(row), {})[row.digest] = row
    return known


def newest(places: Places, key: TagKey) -> TagOrigin | None:
    """What the tag held last, as far as it is known."""
    return max(places.get(key, {}).values(), key=lambda held: held.place, default=None)


def awaits_echo(held: TagOrigin) -> bool:
    """Whether we wrote it, or are about to, and its registry has not told of it yet."""
    return held.written and not held.echoed and held.at >= timezone.now() - AWAITED


def discover(places: Places, key: TagKey, digest: str) -> TagOrigin:
    """A push that nobody told of gets its place now; to be noted."""
    told = Notification.objects.create(**key._asdict(), digest=digest, own=True, handled_at=timezone.now())
    places.setdefault(key, {})[digest] = found = origin(key, digest, told.pk)
    return found


def origin(key: TagKey, digest: str, place: int, *, written: bool = False) -> TagOrigin:
    return TagOrigin(**key._asdict(), digest=digest, place=place, written=written)


def note(origins: Iterable[TagOrigin]) -> None:
    """Adds or replaces what is known of these digests of these tags, all in one order."""
    rows = {(row.instance_id, row.repository, row.tag, row.digest): row for row in origins}
    for row in rows.values():
        row.pk = None
    TagOrigin.objects.bulk_create(
        [rows[key] for key in sorted(rows)],
        batch_size=100,
        update_conflicts=True,
        unique_fields=["instance", "repository", "tag", "digest"],
        update_fields=["place", "written", "echoed", "at"],
    )


def forget_unseen(keys: Collection[TagKey]) -> None:
    """Somebody has looked what these tags hold."""
    if keys:
        rows = TagOrigin.objects.filter(among(keys), digest__startswith=UNSEEN)
        TagOrigin.objects.filter(pk__in=[row.pk for row in rows if key_of(row) in keys]).delete()
