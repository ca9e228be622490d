"""Writes down who did what. What is saved and deleted row by row, django-auditlog notes; services note the rest.

Only what persons and commands ask for is an action: pushes and schedules are told by tasks.
"""

from dataclasses import dataclass
from datetime import timedelta

from auditlog.registry import auditlog
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_in
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from sync.models import AuditEntry, Identity, Instance, RegionPair, SyncRule, SyncTask, Verb
from sync.models.audit import SYSTEM, Caller, on_behalf_of
from sync.models.webhook import shown_place

__all__ = ["KINDS", "SYSTEM", "Caller", "Change", "Verb", "changes_of", "note", "on_behalf_of", "prune", "type_of"]

ROWS_AT_ONCE = 2000
SECRET = "(secret)"  # noqa: S105
WORDS = {"None": "", "True": "yes", "False": "no"}
BOOKKEEPING: dict[type[Model], set[str]] = {
    Instance: {
        *("id", "created_at", "password_set_at", "api_key_set_at", "checked_at", "healthy", "health_reason"),
        *("latency_ms", "down_since", "down_reason", "next_try_at", "next_poll_at", "notified_at"),
        *("hook_secret_hash", "hook_secret_set_at"),
    },
    SyncRule: {
        *("id", "created_at", "updated_at", "next_run_at", "suspension"),
        *("lag_median", "lag_p95", "lag_worst", "lag_counted_at"),
    },
    User: {"id", "last_login", "date_joined"},
    Group: {"id"},
    Identity: {"id", "created_at"},
}
SECRETS = ["encrypted_password", "encrypted_api_key", "encrypted_webhook_secret", "webhook_url", "password"]
RELATIONS: dict[type[Model], set[str]] = {User: {"groups", "user_permissions"}, Group: {"permissions"}}

TYPES: dict[str, type[Model]] = {
    "instance": Instance,
    "rule": SyncRule,
    "task": SyncTask,
    "regions": RegionPair,
    "person": User,
    "group": Group,
}
KINDS = [
    *(("instance", "Instances, with their roles and secrets"), ("rule", "Rules"), ("task", "Tasks")),
    *(("regions", "Pairs of regions"), ("person", "People"), ("group", "Groups")),
]


def type_of(kind: str) -> ContentType:
    return ContentType.objects.get_for_model(TYPES[kind])


def masked(value: str) -> str:
    """That there is a secret; of an address scheme and host alone."""
    if value in ("", "None"):
        return ""
    return f"{shown_place(value)}/…" if value.startswith(("https://", "http://")) else SECRET


def note(verb: Verb, thing: Model, *, actor: str = "", detail: str = "") -> None:
    """actor: for who has no request; it is the one of the request, or of the command, if there is one."""
    AuditEntry.objects.create(
        content_type=ContentType.objects.get_for_model(thing),
        object_pk=str(thing.pk),
        object_id=thing.pk,
        object_repr=str(thing),
        action=AuditEntry.Action.UPDATE,
        verb=verb,
        actor_name=actor,
        instance=_instance_of(thing),
        detail=detail,
    )


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest, user: User, **_: object) -> None:
    """By a password or by single sign-on; not by a program that opens a session."""
    if address := request.META.get("REMOTE_ADDR"):
        with on_behalf_of(Caller(user=user, address=address)):
            note(Verb.SIGNED_IN, user)


@receiver(user_locked_out)
def note_lock(request: HttpRequest, username: str, **_: object) -> None:
    """Once for each address and wait. Names that nobody has are in the log alone."""
    user, address = User.objects.filter(username=username).first(), request.META["REMOTE_ADDR"]
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    told = AuditEntry.objects.filter(verb=Verb.LOCKED_OUT, remote_addr=address, timestamp__gt=since)
    if user is not None and not told.filter(object_id=user.pk).exists():
        with on_behalf_of(Caller(address=address)):
            note(Verb.LOCKED_OUT, user, detail="After too many wrong ones from this address.")


def _instance_of(thing: Model) -> int | None:
    if isinstance(thing, Instance):
        return thing.pk
    return thing.source_id if isinstance(thing, SyncRule | SyncTask) else None


@dataclass(frozen=True)
class Change:
    """A value before and after; blank where there was none."""

    label: str
    before: str
    after: str


def changes_of(entry: AuditEntry) -> list[Change]:
    """What the entry says of values, with the names that forms have for them."""
    model = entry.content_type.model_class()
    found = []
    for name, values in (entry.changes or {}).items():
        label = _label(model, name)
        if isinstance(values, dict):
            named = ", ".join(values["objects"])
            found.append(Change(label, *(("", named) if values["operation"] == "add" else (named, ""))))
        elif change := _change(label, *map(str, values)):
            found.append(change)
    return sorted(found, key=lambda change: change.label)


def _label(model: type[Model] | None, name: str) -> str:
    try:
        label = str(model._meta.get_field(name).verbose_name) if model else name  # type: ignore[union-attr]
    except FieldDoesNotExist:  # of an older release
        label = name
    return label.removeprefix("encrypted ").capitalize()


def _change(label: str, before: str, after: str) -> Change | None:
    before, after = WORDS.get(before, before), WORDS.get(after, after)
    if before == after:
        return Change(label, "", "(changed)") if after else None
    return Change(label, before, after)


def prune() -> int:
    """Deletes a piece of what is older than AUDIT_DAYS; how many rows."""
    if not settings.AUDIT_DAYS:
        return 0
    old = AuditEntry.objects.filter(timestamp__lt=timezone.now() - timedelta(days=settings.AUDIT_DAYS))
    found = list(old.order_by("timestamp").values_list("pk", flat=True)[:ROWS_AT_ONCE])
    AuditEntry.objects.filter(pk__in=found).delete()
    return len(found)


def _watch(model: type[Model]) -> None:
    """By the names of its columns: relations to it are no part of it."""
    names = [column.name for column in model._meta.concrete_fields if column.name not in BOOKKEEPING[model]]
    auditlog.register(
        model,
        include_fields=names,
        mask_fields=SECRETS,
        mask_callable=f"{__name__}.masked",
        m2m_fields=RELATIONS.get(model),
    )


for _model in BOOKKEEPING:
    _watch(_model)
