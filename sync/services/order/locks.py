"""One writer of a tag at a time. A lock is valid as long as a part of a task is held by its claim."""

from collections.abc import Collection

from django.db.models import Exists, OuterRef

from sync.models import TagLock, TaskPart
from sync.services.order.places import TagKey, among


def take(keys: Collection[TagKey], claim: str) -> set[TagKey]:
    """Those of the tags that are ours now, in the caller's transaction."""
    rows = [TagLock(**key._asdict(), claim=claim) for key in sorted(keys)]
    TagLock.objects.bulk_create(rows, ignore_conflicts=True, batch_size=100)
    alive = Exists(TaskPart.objects.filter(claim=OuterRef("claim")))
    # In one order, and no instance with them.
    locks = TagLock.objects.filter(among(keys)).order_by("instance_id", "repository", "tag").select_for_update()
    free = [lock for lock in locks.annotate(alive=alive) if lock.claim == claim or not lock.alive]
    TagLock.objects.filter(pk__in=[lock.pk for lock in free if lock.claim != claim]).update(claim=claim)
    return {_key(lock) for lock in free} & set(keys)


def is_taken(key: TagKey, claim: str) -> bool:
    """Whether somebody else is writing the tag."""
    others = TagLock.objects.filter(**key._asdict()).exclude(claim=claim)
    return others.filter(Exists(TaskPart.objects.filter(claim=OuterRef("claim")))).exists()


def release(keys: Collection[TagKey], claim: str) -> None:
    """What became of these tags is written down, in the same transaction."""
    if keys:
        held = TagLock.objects.filter(among(keys), claim=claim)
        TagLock.objects.filter(pk__in=[lock.pk for lock in held if _key(lock) in keys]).delete()


def forget_abandoned() -> None:
    TagLock.objects.filter(~Exists(TaskPart.objects.filter(claim=OuterRef("claim")))).delete()


def _key(lock: TagLock) -> TagKey:
    return TagKey(lock.instance_id, lock.repository, lock.tag)
