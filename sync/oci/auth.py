"""Who we are to a registry: challenges, credentials, tokens (RFC 9110 11, distribution token specification)."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from sync.oci.errors import ProtocolViolation, Unauthorized
from sync.oci.places import resolve
from sync.oci.response import Response
from sync.oci.transport import Transport

TOKEN_LIFE_LEAST = 60.0
TOKEN_LIFE_MOST = 24 * 3600.0
TOKEN_MARGIN = 10.0

_PARTS = re.compile(
    r"""(?P<key>[A-Za-z][\w-]*)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,"]*))|(?P<word>[^\s,="]+)""",
)
_SCHEMES = ("bearer", "basic")

# Shorter passwords are words, or parts of words, that registries say without knowing them.
HIDDEN_FROM = 4

Scopes = tuple[str, ...]


@dataclass(frozen=True)
class Credential:
    """A user name and a password (or token) for one registry."""

    username: str
    password: str = field(repr=False)

    @property
    def secrets(self) -> set[str]:
        """The password in the forms in which a registry that echoes requests may say it; no word that texts have."""
        forms = {self.basic.partition(" ")[2], quote(self.password, safe=""), self.password}
        return {form for form in forms if len(form) >= HIDDEN_FROM}

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Challenge:
    """One challenge of a WWW-Authenticate header; `scheme` in lower case."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """The Bearer and Basic challenges of all WWW-Authenticate headers of an answer, Bearer first (P-20).

    Tolerates several challenges in one header, any letter case, missing quotes, and commas inside a bare scope.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for value in values:
        last = ""
        for part in _PARTS.finditer(value):
            if part["key"]:
                last = part["key"].lower()
                text = re.sub(r"\\(.)", r"\1", part["quoted"]) if part["quoted"] is not None else part["bare"]
                if found:
                    found[-1][1].setdefault(last, text)
            elif last == "scope" and part["word"].lower() not in _SCHEMES and _follows_comma(value, part.start()):
                found[-1][1]["scope"] += f",{part['word']}"
            else:
                found.append((part["word"].lower(), {}))
                last = ""
    names = ("realm", "service", "scope", "error")
    kept = [Challenge(scheme, **{name: values.get(name, "") for name in names}) for scheme, values in found]
    return sorted((one for one in kept if one.scheme in _SCHEMES), key=lambda one: _SCHEMES.index(one.scheme))


def _follows_comma(text: str, position: int) -> bool:
    return text[position - 1 : position] == ","


def merge_scopes(*scopes: str) -> Scopes:
    """One sorted tuple with the actions of each resource united, so that equal rights make an equal key."""
    actions: dict[str, set[str]] = defaultdict(set)
    for scope in scopes:
        resource, _, wanted = scope.rpartition(":")
        actions[resource].update(wanted.split(","))
    return tuple(f"{resource}:{','.join(sorted(wanted))}" for resource, wanted in sorted(actions.items()) if resource)


@dataclass(frozen=True)
class Token:
    """A bearer token and the moment of our own monotonic clock from which it is not used any more."""

    value: str = field(repr=False)
    ends: float


class Authenticator:
    """Authorization headers for one registry. Safe for many threads. `challenged`: it has answered 401 at least once.

    The registry's challenge is remembered: later requests fetch their token first. Tokens are kept per set of
    scopes; threads that need the same one make one request for it.
    """

    def __init__(
        self, transport: Transport, credential: Credential | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._transport = transport
        self._credential = credential
        self._clock = clock
        self._challenge: Challenge | None = None
        self.challenged = False
        self._added: dict[Scopes, str] = {}
        self._tokens: dict[Scopes, Token] = {}
        self._fetching: defaultdict[Scopes, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def header_for(self, scopes: Sequence[str], courtesy: Transport | None = None) -> dict[str, str]:
        """The headers that a request with these scopes needs, as far as known. Fetches a token when one is due.

        courtesy: the transport to fetch it over when cleaning up; no other thread's request is waited for then.
        Raises Unauthorized when the token server refuses the credential, and what Transport.request raises.
        """
        if self._challenge is None:
            return {}
        if self._challenge.scheme == "basic":
            return self.basic()
        wanted = self._wanted(scopes)
        if courtesy:
            token = self._valid(wanted) or self._fetch(self._challenge, wanted, courtesy)
        else:
            token = self._shared(self._challenge, wanted)
        return {"Authorization": f"Bearer {token.value}"}

    @property
    def secrets(self) -> set[str]:
        """What was sent to prove who we are."""
        tokens = {token.value for token in list(self._tokens.values())}
        return tokens | (self._credential.secrets if self._credential else set())

    def basic(self) -> dict[str, str]:
        """The credential itself, for an interface of the registry that gives no challenge."""
        return {"Authorization": self._credential.basic} if self._credential else {}

    def _valid(self, scopes: Scopes) -> Token | None:
        token = self._tokens.get(scopes)
        return token if token and token.ends > self._clock() else None

    def _shared(self, challenge: Challenge, scopes: Scopes) -> Token:
        with self._lock:
            fetching = self._fetching[scopes]
        with fetching:
            token = self._valid(scopes)
            if token is None:
                token = self._tokens[scopes] = self._fetch(challenge, scopes, self._transport)
            return token

    def answer(self, challenges: Sequence[Challenge], scopes: Sequence[str], sent: str) -> bool:
        """Take in the challenge of a 401 to a request sent with the Authorization `sent` ("" for none).

        Returns whether repeating the request can help: it cannot after a password or when nothing is asked for.
        """
        self.challenged = True
        chosen = next((one for one in challenges if one.scheme == "bearer" or self._credential), None)
        if chosen is None:
            return False
        asked = self._wanted(scopes)
        with self._lock:
            self._challenge = chosen
            if chosen.scope:
                self._added[merge_scopes(*scopes)] = chosen.scope
        token = self._tokens.get(asked)
        if token and sent == f"Bearer {token.value}":
            if chosen.error == "insufficient_scope" and self._wanted(scopes) == asked:
                return False  # a good token that lacks the right: another one would lack it too
            self._tokens.pop(asked, None)
        return chosen.scheme == "bearer" or not sent.startswith("Basic ")

    def _wanted(self, scopes: Sequence[str]) -> Scopes:
        own = merge_scopes(*scopes)
        return merge_scopes(*own, *self._added.get(own, "").split())

    def _fetch(self, challenge: Challenge, scopes: Scopes, transport: Transport) -> Token:
        """GET a token from the realm (distribution token specification, "Requesting a Token")."""
        realm = resolve(transport.endpoint.url, challenge.realm)
        transport.check_hop(realm, with_credential=True)
        query = [("service", challenge.service)] if challenge.service else []
        query += [("scope", scope) for scope in scopes]
        if self._credential:
            query.append(("account", self._credential.username))
        headers = {"Authorization": self._credential.basic} if self._credential else {}
        asked = self._clock()
        address = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}" if query else realm
        return self._read_token(transport.request("GET", address, headers), asked)

    def _read_token(self, response: Response, asked: float) -> Token:
        if response.status in (400, 401, 403) and self._credential:
            hint = "Check the user name and password of this instance."
            raise Unauthorized("the token server refuses the credential", status=response.status, hint=hint)
        if response.status != 200:
            raise response.error(quote=False)
        document = response.json()
        value = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise ProtocolViolation("the token server's answer holds no token")
        told = document.get("expires_in")
        # In this order: what is no number (JSON's NaN) lives shortest.
        life = max(TOKEN_LIFE_LEAST, told) if isinstance(told, int | float) else TOKEN_LIFE_LEAST
        return Token(value, asked + min(life, TOKEN_LIFE_MOST) - TOKEN_MARGIN)
