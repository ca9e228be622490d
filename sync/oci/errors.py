"""What can go wrong between us and a registry.

OciError
+-- Unreachable            DNS, refused, reset, time-out, proxy (retryable)
|   +-- UntrustedCertificate   the certificate does not verify
+-- PlainHttpRefused       http:// to another machine without permission
+-- AddressRefused         its own address is none that may be spoken to
+-- RedirectRefused        the registry sends us where we do not go
+-- RegistryAnswer         an HTTP status that means failure
|   +-- Unauthorized       401
|   +-- Denied             403
|   +-- NotFound           404
|   +-- TooManyRequests    429 (retryable)
|   +-- ServerFault        5xx, 408 (retryable)
|   +-- Rejected           any other 4xx
+-- ManifestError
|   +-- InvalidManifest
|   +-- UnsupportedManifest
|   +-- ManifestTooLarge
+-- DigestMismatch         bytes are not what their digest says (retryable, once)
+-- ProtocolViolation      an answer that the specification does not allow
|   +-- ResponseTooLarge
+-- Cancelled              the caller asked to stop
"""

from __future__ import annotations

import datetime
import email.utils
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Self

MESSAGE_LIMIT = 500
PROBLEM_LIMIT = 1000

_SECRETS = (
    (re.compile(r"\?[\w.~%-]+=[^\s\"'<>]*"), "?…"),
    (re.compile(r"://[^\s/@\"']+@"), "://…@"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), r"\1 …"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), "…"),
)


def printable(text: str) -> str:
    """`text` fit for a database and a page: control characters, lone surrogates and the like become U+FFFD."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def readable(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text` as one printable line of at most `limit` characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def hide(text: str, secrets: Collection[str]) -> str:
    """`text` without these, whole as it is: what is cut off later must leave no half of one."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def hide_secrets(text: str) -> str:
    """`text` without what may be a secret: query strings, passwords in URLs, tokens."""
    for secret, shown in _SECRETS:
        text = secret.sub(shown, text)
    return text


def scrub(text: str) -> str:
    """The same, readable."""
    return readable(hide_secrets(text))


class OciError(Exception):
    """A failure with everything that a person or a retry needs to know.

    problem: what happened, in our words. side: "source", "target" or "". registry: name of the instance.
    operation: plain words ("read manifest prod/web:1.0"). status: HTTP status, 0 when there was none.
    code, message: the registry's own. hint: the next step, a sentence. retry_after: seconds, None when not told.
    """

    retryable = False
    hint = ""

    def __init__(
        self,
        problem: str,
        *,
        side: str = "",
        registry: str = "",
        operation: str = "",
        status: int = 0,
        code: str = "",
        message: str = "",
        hint: str = "",
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        self.problem = readable(problem, PROBLEM_LIMIT)
        super().__init__(self.problem)
        self.side = side
        self.registry = registry
        self.operation = operation
        self.status = status
        self.code = scrub(code)
        self.message = scrub(message)
        self.retry_after = retry_after
        self.hint = hint or type(self).hint
        self.retryable = type(self).retryable if retryable is None else retryable

    def located(self, side: str, registry: str, operation: str) -> Self:
        """Fill in where it happened, as far as that is not known yet."""
        self.side = self.side or side
        self.registry = self.registry or registry
        self.operation = self.operation or operation
        return self

    @property
    def outage(self) -> bool:
        """Whether the other side as a whole seems to be away, so that waiting may help."""
        return self.status in (502, 503, 504)

    @property
    def reason(self) -> str:
        """What happened and where, without the next step."""
        where = " ".join(filter(None, (self.side.capitalize(), self.registry)))
        doing = f"cannot {self.operation}" if self.operation else ""
        return ": ".join(filter(None, (where, doing, self.problem)))

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.reason.rstrip('.')}.", self.hint)))


class Unreachable(OciError):
    """No answer: DNS, connection refused or reset, time-out, proxy, TLS that does not come about."""

    retryable = True
    hint = "Check the address and whether the registry is up and reachable from here."

    @property
    def outage(self) -> bool:
        return self.retryable


class UntrustedCertificate(Unreachable):
    retryable = False
    hint = "Check the host name, or give the certificate of the authority that signed it to this instance."


class PlainHttpRefused(OciError):
    hint = "Use https://, or allow plain HTTP for this instance if its network can be trusted."


class AddressRefused(OciError):
    hint = "Give this instance another address."


class RedirectRefused(OciError):
    hint = "Check the registry's own configuration (external address, X-Forwarded-Proto of its reverse proxy)."


class RegistryAnswer(OciError):
    """An answer of the registry that means failure."""

    def calls_immutable(self, repository: str) -> bool:
        """Whether it refuses because what is there may never be changed; each kind of registry has its own words."""
        words = f"{self.code} {self.message}".lower().replace(repository, "")
        return not self.retryable and "immutable" in words


class Unauthorized(RegistryAnswer):
    hint = (
        "Check the user name and password of this instance, and whether they may do this; "
        "some registries say 401 for what does not exist."
    )


class Denied(RegistryAnswer):
    hint = (
        "The account may lack the right to do this, or the repository does not exist: "
        "some registries answer the same for both."
    )


class NotFound(RegistryAnswer):
    hint = "It may not exist, or the account may not see it: some registries answer the same for both."


class TooManyRequests(RegistryAnswer):
    retryable = True
    hint = "The registry limits requests; try again later."


class ServerFault(RegistryAnswer):
    retryable = True
    hint = "The fault is on the registry's side; try again later."


class Rejected(RegistryAnswer):
    hint = "The registry refuses this request; repeating it does not help."


class ManifestError(OciError):
    """A manifest that cannot be copied."""


class InvalidManifest(ManifestError):
    hint = "Push this tag to its registry again."


class UnsupportedManifest(ManifestError):
    hint = "Push it again with a current tool, as an OCI image or a Docker schema 2 image."


class ManifestTooLarge(ManifestError):
    hint = "Raise the manifest limit in the settings if this size is intended."


class DigestMismatch(OciError):
    retryable = True
    hint = "The content was changed on its way or in the registry; if it happens again, push it again."


class ProtocolViolation(OciError):
    hint = "Check that the address is that of an OCI registry and that no proxy changes its answers."


class ResponseTooLarge(ProtocolViolation):
    """The answer is longer than the limit that the caller set."""


class Cancelled(OciError):
    """The caller's `cancelled` said so."""


_BY_STATUS: dict[int, type[RegistryAnswer]] = {
    401: Unauthorized,
    403: Denied,
    404: NotFound,
    408: ServerFault,
    429: TooManyRequests,
}


def error_for(
    status: int, headers: Mapping[str, str], body: bytes, *, quote: bool = True, secrets: Collection[str] = ()
) -> OciError:
    """The error that an HTTP answer stands for. `quote=False` keeps the body's words out (token servers: P-25).

    secrets: what we sent and nobody shall read, should the registry say it back to us.
    """
    if status < 400:
        return ProtocolViolation(
            f"the registry gave an answer that does not belong here (HTTP {status})", status=status
        )
    kind = _BY_STATUS.get(status, ServerFault if status >= 500 else Rejected)
    code, message = (hide(words, secrets) for words in _own_words(body)) if quote else ("", "")
    problem = f"the registry answered {status}"
    if code:
        problem += f" {scrub(code)}"
    if message:
        problem += f" “{scrub(message)}”"
    retry_after = parse_retry_after(headers.get("Retry-After", ""))
    return kind(problem, status=status, code=code, message=message, retry_after=retry_after)


def _own_words(body: bytes) -> tuple[str, str]:
    """Code and message of an error body (OCI distribution 1.1, "Error Codes"); of another body its plain text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "", "" if text.startswith("<") else text
    errors = document.get("errors") if isinstance(document, dict) else None
    first: Any = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return "", ""
    detail = first.get("detail")
    words = [str(first.get("message") or ""), detail if isinstance(detail, str) else ""]
    return str(first.get("code") or ""), ": ".join(filter(None, words))


def parse_retry_after(value: str) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or HTTP date, RFC 9110 10.2.3), None when it says nothing."""
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())
