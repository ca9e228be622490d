"""Takes notifications of registries: who may send them, and keeping them until the rules have them.

What a registry sent is in the database before it is told so. Matching comes later, by the queue, or by the sweep.
"""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from sync import queue
from sync.models import Instance, Notification
from sync.oci.notifications import MOST_EVENTS, NotUnderstood, Told, parse
from sync.services import audit

__all__ = [
    "MOST_EVENTS",
    "NotUnderstood",
    "Sender",
    "Told",
    "keep_secret",
    "make_secret",
    "parse",
    "remove_secret",
    "sender",
    "state_of",
    "store",
    "waiting",
]

SECRET_BYTES = 32
# What nobody sends: an instance that is not there, or has no secret, takes as long as one that has.
NO_HASH = sha256(token_urlsafe(SECRET_BYTES).encode()).hexdigest()
# When the last notification came is written no more often.
NOTED_SECONDS = 5
# So long the queue is not asked again after it did not answer.
QUEUE_AWAY, QUEUE_AWAY_SECONDS = "receive-queue-away", 5
WAITING_COUNTED = 1000


@dataclass(frozen=True)
class Sender:
    """An instance that has proved who it is."""

    instance_id: int
    notified_at: datetime | None


def make_secret(instance: Instance, seen: str) -> str | None:
    """A new secret, told here and never again: only its hash is kept. The one before stops working.

    `seen` is state_of() the secret that is to be replaced; None when it is another one now.
    """
    secret = token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        now = Instance.objects.select_for_update().get(pk=instance.pk)
        if state_of(now) != seen:
            return None
        keep_secret(instance, secret)
        audit.note(audit.Verb.MADE_SECRET, instance, detail="The one before stopped working." if seen else "")
    return secret


def state_of(instance: Instance) -> str:
    """Tells one secret of an instance from the next, and says nothing about either."""
    return instance.hook_secret_set_at.isoformat() if instance.hook_secret_set_at else ""


def keep_secret(instance: Instance, secret: str) -> None:
    instance.hook_secret_hash, instance.hook_secret_set_at = _hash(secret), timezone.now()
    instance.save(update_fields=["hook_secret_hash", "hook_secret_set_at"])


def remove_secret(instance: Instance) -> None:
    """Nothing is taken from the instance any more."""
    instance.hook_secret_hash, instance.hook_secret_set_at = "", None
    with transaction.atomic():
        instance.save(update_fields=["hook_secret_hash", "hook_secret_set_at"])
        audit.note(audit.Verb.REMOVED_SECRET, instance)


def sender(name: str, authorization: str) -> Sender | None:
    """The instance of this name if the header holds its secret; the same None, as late, for whatever is wrong."""
    # PostgreSQL refuses a question with a NUL in it.
    named = Instance.objects.filter(name=name.replace("\0", ""))
    pk, kept, notified_at = named.values_list("pk", "hook_secret_hash", "notified_at").first() or (0, "", None)
    right = constant_time_compare(_hash(_secret_in(authorization)), kept or NO_HASH)
    return Sender(pk, notified_at) if right else None


def _secret_in(authorization: str) -> str:
    """`Bearer <secret>`, `Basic` with the secret as the password, or the secret alone, as Harbor can send it."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return authorization.strip()
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except (NotBase64, ValueError):
        return ""


def _hash(secret: str) -> str:
    """Secrets are random and long: what makes guessing passwords slow is not needed."""
    return sha256(secret.encode(errors="replace")).hexdigest()


def store(sender: Sender, told: Sequence[Told]) -> None:
    """Keeps all of it or nothing. Raises django.db.Error."""
    now = timezone.now()
    noted = sender.notified_at and now - sender.notified_at < timedelta(seconds=NOTED_SECONDS)
    if noted and not told:
        return
    with transaction.atomic():
        Notification.objects.bulk_create(_row(sender, one, now) for one in told)
        if not noted:
            _note(sender, now)
        if told:
            transaction.on_commit(_tell_the_queue, robust=True)


def _row(sender: Sender, told: Told, now: datetime) -> Notification:
    return Notification(
        instance_id=sender.instance_id,
        action=told.action,
        repository=told.repository,
        tag=told.tag,
        digest=told.digest,
        actor=told.actor,
        received_at=now,
    )


def _note(sender: Sender, now: datetime) -> None:
    """Many that come at once write the row of their instance once."""
    long_ago = Q(notified_at=None) | Q(notified_at__lt=now - timedelta(seconds=NOTED_SECONDS))
    Instance.objects.filter(long_ago, pk=sender.instance_id).update(notified_at=now)


def _tell_the_queue() -> None:
    """While the queue is away, registries are not kept waiting for it again and again: the sweep does the same."""
    if not cache.get(QUEUE_AWAY) and not queue.enqueue_dispatch():
        cache.set(QUEUE_AWAY, True, QUEUE_AWAY_SECONDS)


def waiting(instance: Instance) -> int:
    """How many notifications of it the rules do not have yet, counted up to WAITING_COUNTED."""
    return Notification.objects.filter(instance=instance, handled_at=None)[:WAITING_COUNTED].count()
