"""The place of what a tag holds in the order of pushes."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from sync.models import Notification, TagOrigin


class TagKey(NamedTuple):
    instance_id: int
    repository: str
    tag: str


Places = dict[TagKey, dict[str, int]]
"""By tag: the place of each digest that it is known to have held."""


def among(keys: Collection[TagKey]) -> Q:
    """Rows of these tags, and a few more: compare their keys."""
    found = Q(pk__in=[])
    for instance_id in sorted({key.instance_id for key in keys}):
        of_instance = [key for key in keys if key.instance_id == instance_id]
        names, tags = {key.repository for key in of_instance}, {key.tag for key in of_instance}
        found |= Q(instance=instance_id, repository__in=names, tag__in=tags)
    return found


def known_places(keys: Collection[TagKey]) -> Places:
    known: Places = {}
    rows = TagOrigin.objects.filter(among(keys)).values_list("instance_id", "repository", "tag", "digest", "place")
    for instance_id, repository, tag, digest, place in rows:
        known.setdefault(TagKey(instance_id, repository, tag), {})[digest] = place
    return known


def newest(places: Places, key: TagKey) -> tuple[str, int]:
    """What the tag held last, as far as it is known, with its place; ("", 0) when nothing is."""
    return max(places.get(key, {}).items(), key=lambda held: held[1], default=("", 0))


def discover(places: Places, key: TagKey, digest: str) -> TagOrigin:
    """A push that nobody told of gets its place now; to be noted."""
    told = Notification.objects.create(**key._asdict(), digest=digest, own=True, handled_at=timezone.now())
    places.setdefault(key, {})[digest] = told.pk
    return origin(key, digest, told.pk)


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
