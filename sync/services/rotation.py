"""Stored secrets anew under the first of CREDENTIAL_KEYS, so that the others can be given up."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db.models import Model

from sync.credentials import CredentialKeyMissing, decrypt, encrypt
from sync.models import Instance, SyncRule

SECRETS: tuple[tuple[type[Model], str, str], ...] = (
    (Instance, "encrypted_password", "passwords of instances"),
    (Instance, "encrypted_api_key", "keys of management APIs"),
    (SyncRule, "encrypted_webhook_secret", "secrets of webhooks"),
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
    done = Rotated()
    for model, column, what in SECRETS:
        done.counts[what] = 0
        for pk, name, token in _stored(model, column):
            try:
                fresh = encrypt(decrypt(token))
            except CredentialKeyMissing:
                done.unreadable.append(name)
                continue
            rows = model._default_manager.filter(pk=pk, **{column: token})
            done.counts[what] += rows.update(**{column: fresh})
    return done


def _stored(model: type[Model], column: str) -> Iterator[tuple[int, str, str]]:
    for row in model._default_manager.exclude(**{column: ""}).order_by("pk"):
        yield row.pk, str(row), getattr(row, column)
