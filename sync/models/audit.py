"""Who did what, when and from where: entries that stay when what they tell of is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from auditlog.models import AbstractLogEntry
from django.db import models

SYSTEM = "system"
# As many as a user name may have: of two names together the end is cut off.
ACTOR_CHARACTERS = 150


@dataclass(frozen=True)
class Caller:
    """On whose behalf this thread works. user: of a request, looked at only when something is written; by: what they
    had do it for them."""

    name: str = SYSTEM
    user: Any = None
    by: str = ""
    address: str | None = None


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


@contextmanager
def on_behalf_of(caller: Caller) -> Iterator[None]:
    """What is done inside is noted as done by the caller."""
    before = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(before)


class Verb(models.TextChoices):
    CREATED = "created", "Created"
    CHANGED = "changed", "Changed"
    DELETED = "deleted", "Deleted"
    ENABLED = "enabled", "Enabled"
    DISABLED = "disabled", "Disabled"
    SYNCED = "synced", "Synced as"
    RETRIED = "retried", "Retried as"
    STOPPED = "stopped", "Stopped"
    ALLOWED_REMOVALS = "allowed-removals", "Allowed deletions of"
    REFUSED_REMOVALS = "refused-removals", "Refused deletions of"
    GRANTED = "granted", "Gave a role on"
    REVOKED = "revoked", "Took a role on"
    MADE_SECRET = "made-secret", "Made a secret for"
    REMOVED_SECRET = "removed-secret", "Removed the secret of"
    MADE_TOKEN = "made-token", "Made a token for"
    REVOKED_TOKEN = "revoked-token", "Revoked a token of"
    ALLOWED_REGIONS = "allowed-regions", "Allowed copying from"
    FORBADE_REGIONS = "forbade-regions", "Forbade copying from"
    SUSPENDED = "suspended", "Suspended"
    WENT_ON = "went-on", "Ended the suspension of"
    SIGNED_IN = "signed-in", "Signed in as"
    LOCKED_OUT = "locked-out", "Takes no passwords for a while of"
    ROTATED = "rotated", "Encrypted anew the secrets of"


_OF_ACTIONS = {
    AbstractLogEntry.Action.CREATE: Verb.CREATED,
    AbstractLogEntry.Action.UPDATE: Verb.CHANGED,
    AbstractLogEntry.Action.DELETE: Verb.DELETED,
}


class AuditEntry(AbstractLogEntry):  # type: ignore[misc]
    """The log entry of django-auditlog, which writes those of saved and deleted rows; services write the others.

    Whose instance it tells of is a number and no relation, as is who did it a name: both outlive their rows.
    """

    id = models.BigAutoField(primary_key=True)
    verb = models.CharField(max_length=20, choices=Verb)
    actor_name = models.CharField("actor", max_length=ACTOR_CHARACTERS)
    instance = models.BigIntegerField(null=True, help_text="The instance that it is about, or the source of its rule.")
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["instance", "-id"], name="audit_of_instance")]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.get_verb_display()} {self.object_repr}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is None:
            self._sign(_caller.get() or Caller())
        super().save(*args, **kwargs)

    def _sign(self, caller: Caller) -> None:
        self.verb = self.verb or _OF_ACTIONS[self.action]
        self.remote_addr = caller.address
        if caller.user is not None and caller.user.is_authenticated:
            by = f" by {caller.by}" if caller.by else ""
            self.actor_id, self.actor_name = caller.user.pk, f"{caller.user.get_username()}{by}"
        self.actor_name = (self.actor_name or caller.name)[:ACTOR_CHARACTERS]
        if self.instance is None and self.additional_data:
            self.instance = self.additional_data.get("instance")
