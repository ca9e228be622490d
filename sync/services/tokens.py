"""Tokens for pipelines: made, shown once, used, revoked. None may more than its maker may now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from sync.limits.requests import seconds_to_wait
from sync.models import ApiToken, Instance
from sync.services import audit
from sync.services.grants import GIVEN_BY, Right, is_platform_administrator, rights_on, users_with

# By which scanners of repositories and logs know one.
PREFIX = "tcrc_"
TOKEN_BYTES = 32
# When it was used last is written no more often.
NOTED_SECONDS = 60
SHOWN = 100


@dataclass(frozen=True)
class Listed:
    """A token with its state in a word; `usable`: it lets somebody in."""

    token: ApiToken
    state: str
    usable: bool


def make(token: ApiToken) -> str:
    """Saves it, and tells what is to be shown: here and never again, only its hash is kept."""
    secret = PREFIX + token_urlsafe(TOKEN_BYTES)
    token.token_hash = _hash(secret)
    with transaction.atomic():
        token.save()
        audit.note(audit.Verb.MADE_TOKEN, token.instance, detail=f"{token}, {Right(token.role).role}.")
    return secret


def revoke(token: ApiToken) -> bool:
    """False when it was revoked already."""
    with transaction.atomic():
        revoked = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
        if revoked:
            audit.note(audit.Verb.REVOKED_TOKEN, token.instance, detail=f"{token}, made by {token.maker}.")
    return bool(revoked)


def shown_in(authorization: str) -> ApiToken | None:
    """The token in the header, if it lets somebody in; the same None for whatever is wrong with it."""
    scheme, _, secret = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not secret.strip().startswith(PREFIX):
        return None
    known = ApiToken.objects.select_related("instance", "maker")
    token = known.filter(token_hash=_hash(secret.strip()), revoked_at=None, expires_at__gt=timezone.now()).first()
    return token if token is not None and rights_of(token) else None


def rights_of(token: ApiToken) -> frozenset[Right]:
    """What it lets one do on its instance: what its role gives and its maker may, all of the role or nothing."""
    given = frozenset(right for right, by in GIVEN_BY.items() if Right(token.role) in by)
    return given if given <= rights_on(token.maker, token.instance) else frozenset()


def note_use(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at >= timedelta(seconds=NOTED_SECONDS):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)


def wait_before(token: ApiToken) -> int:
    """Counts a use; seconds until the token may be used again, 0 when it may now."""
    return seconds_to_wait(token.token_hash, settings.API_REQUESTS_PER_MINUTE)


def listed(instance: Instance, of: User | None = None) -> Sequence[Listed]:
    """The newest of an instance, or those that one person made; one more than is shown where there are more."""
    tokens = ApiToken.objects.filter(instance=instance).select_related("maker")
    found = list((tokens.filter(maker=of) if of else tokens)[: SHOWN + 1])
    able = {role: _able(instance, Right(role)) for role in {token.role for token in found}}
    now = timezone.now()
    rows = [_row(token, able[token.role], now) for token in found]
    return sorted(rows, key=lambda row: not row.usable)


def _able(instance: Instance, right: Right) -> frozenset[int]:
    return frozenset(users_with(instance, right))


def _row(token: ApiToken, able: frozenset[int], now: datetime) -> Listed:
    state = next(_faults(token, able, now), "")
    return Listed(token, state or "Active", usable=not state)


def _faults(token: ApiToken, able: frozenset[int], now: datetime) -> Iterator[str]:
    if token.revoked_at:
        yield "Revoked"
    if token.expires_at <= now:
        yield "Expired"
    if not token.maker.is_active:
        yield f"{token.maker} is not active"
    if token.maker_id not in able and not is_platform_administrator(token.maker):
        yield f"{token.maker} is not {Right(token.role).role} any more"


def _hash(secret: str) -> str:
    """Tokens are random and long: what makes guessing passwords slow is not needed."""
    return sha256(secret.encode(errors="replace")).hexdigest()
