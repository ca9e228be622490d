"""Stored secrets anew under the first of CREDENTIAL_KEYS, so that the others can be given up."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model, QuerySet, TextField, Value
from django.db.models.functions import Cast

from sync.credentials import CredentialKeyMissing, decrypt, encrypt
from sync.models import Instance, SyncRule
from sync.services import audit

SECRETS: tuple[tuple[type[Model], str, str], ...] = (
    (Instance, "encrypted_password", "passwords of instances"),
    (Instance, "encrypted_api_key", "keys of management APIs"),
    (SyncRule, "encrypted_webhook_secret", "secrets of webhooks"),
    (SyncRule, "webhook_url", "addresses of webhooks"),
)


@dataclass
class Rotated:
    """How many, by what they are. `unreadable`: what no key decrypts, by name."""

    counts: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return sum(self.counts.values())


def rotate() -> Rotated:
    """May be called while the console runs: what somebody changes meanwhile is left as it is."""
    done, changed = Rotated(), dict[tuple[type[Model], int], Model]()
    for model, column, what in SECRETS:
        done.counts[what] = 0
        for row, token in _stored(model, column):
            try:
                fresh = encrypt(decrypt(token))
            except CredentialKeyMissing:
                done.unreadable.append(str(row))
                continue
            rows = _raw(model, column).filter(pk=row.pk, stored=token)
            done.counts[what] += rows.update(**{column: Value(fresh)})
            changed.setdefault((model, row.pk), row)
    for row in changed.values():
        audit.note(audit.Verb.ROTATED, row)
    return done


def _stored(model: type[Model], column: str) -> Iterator[tuple[Model, str]]:
    for row in _raw(model, column).exclude(stored="").order_by("pk"):
        yield row, row.stored


def _raw(model: type[Model], column: str) -> QuerySet[Any]:
    """With what is in the column, whatever its field makes of it."""
    return model._default_manager.annotate(stored=Cast(column, TextField()))
