"""The provider, as its discovery document describes it, and what it signs."""

from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

import jwt
import requests
from django.conf import settings
from django.core.cache import cache

ALGORITHMS = ("RS256", "ES256")
CACHED, CACHED_SECONDS = "oidc-provider", 3600
# Clocks differ.
LEEWAY_SECONDS = 60


class NotUnderstood(Exception):
    """What the provider sent cannot be used; the message is a sentence."""


@dataclass(frozen=True)
class Provider:
    issuer: str
    authorization: str
    token: str
    jwks: str
    userinfo: str = ""
    # How it takes the client's secret: by HTTP authentication, or among the form's fields.
    basic: bool = True


def provider() -> Provider:
    """Raises requests.RequestException and NotUnderstood."""
    known: Provider | None = cache.get(CACHED)
    if known is None:
        known = _discover(settings.OIDC_ISSUER)
        cache.set(CACHED, known, CACHED_SECONDS)
    return known


def _discover(issuer: str) -> Provider:
    told = _json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if str(told.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        raise NotUnderstood(f"The provider calls itself {told.get('issuer')!r}, and OIDC_ISSUER says {issuer!r}.")
    methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    try:
        return Provider(
            told["issuer"],
            told["authorization_endpoint"],
            told["token_endpoint"],
            told["jwks_uri"],
            told.get("userinfo_endpoint", ""),
            "client_secret_basic" in methods,
        )
    except KeyError as missing:
        raise NotUnderstood(f"The provider's discovery document lacks {missing}.") from None


def _json(url: str) -> dict[str, Any]:
    answer = requests.get(url, timeout=settings.OIDC_TIMEOUT)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise NotUnderstood(f"What the provider has at {url} is no JSON object.")
    return found


def verified(token: str, nonce: str) -> dict[str, Any]:
    """The claims of an ID token that the provider signed for this client and this attempt.

    Raises jwt.PyJWTError, NotUnderstood, requests.RequestException.
    """
    known, client = provider(), settings.OIDC_RP_CLIENT_ID
    claims: dict[str, Any] = jwt.decode(
        token,
        _key_of(token, known),
        algorithms=list(ALGORITHMS),
        audience=client,
        issuer=known.issuer,
        leeway=LEEWAY_SECONDS,
        options={"require": ["exp", "iat", "sub", "aud", "iss"]},
    )
    if not compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise NotUnderstood("The provider's answer belongs to another attempt (nonce).")
    if claims.get("azp", client) != client:
        raise NotUnderstood("The provider's answer is for another client (azp).")
    return claims


def _key_of(token: str, known: Provider) -> jwt.PyJWK:
    head = jwt.get_unverified_header(token)
    algorithm, name = head.get("alg"), head.get("kid")
    if algorithm not in ALGORITHMS:
        raise NotUnderstood(f"The provider signs by {algorithm}; this console takes {' and '.join(ALGORITHMS)}.")
    kind = "RSA" if algorithm == "RS256" else "EC"
    keys = _json(known.jwks).get("keys")
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, dict):
            continue
        fits = key.get("kty") == kind and key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
        if fits and (name is None or key.get("kid") == name):
            return jwt.PyJWK(key, algorithm=algorithm)
    raise NotUnderstood("The provider publishes no key for its signature.")
