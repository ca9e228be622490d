"""Answers of a registry, and what a broken connection means."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPHeaderDict
from urllib3 import exceptions as faults

from sync.oci.errors import OciError, ProtocolViolation, ResponseTooLarge, Unreachable, UntrustedCertificate, error_for

CHUNK_SIZE = 1024 * 1024
BODY_LIMIT = 32 * 1024 * 1024
ERROR_BODY_LIMIT = 64 * 1024


class Response:
    """One HTTP answer. `body` is filled by load(); a streamed one is read by chunks() and must be closed."""

    def __init__(self, raw: BaseHTTPResponse, url: str) -> None:
        self.status = raw.status
        self.headers: HTTPHeaderDict = raw.headers
        self.url = url
        self.body = b""
        self._raw = raw

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def load(self, limit: int = BODY_LIMIT) -> None:
        """Read the body, up to `limit` bytes; of a failure at most 64 KiB. Raises ResponseTooLarge, Unreachable."""
        allowed = limit if self.is_success else min(limit, ERROR_BODY_LIMIT)
        with broken_connections():
            self.body = self._raw.read(allowed + 1, decode_content=True)
            complete = len(self.body) <= allowed
            if complete:
                self.body += self._raw.read(decode_content=True)
        if complete:
            self._raw.release_conn()
            return
        self.close()
        self.body = self.body[:allowed]
        if self.is_success:
            raise ResponseTooLarge(f"the answer is longer than {limit} bytes")

    def chunks(self, size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """The body in blocks of at most `size` bytes, as sent. Raises Unreachable when the connection breaks."""
        with broken_connections():
            yield from self._raw.stream(size, decode_content=False)

    def json(self) -> Any:
        """The loaded body as JSON; raises ProtocolViolation when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as problem:
            raise ProtocolViolation("the registry's answer is not JSON") from problem

    def header(self, name: str) -> str:
        return self.headers.get(name) or ""

    def header_values(self, name: str) -> list[str]:
        return list(self.headers.getlist(name))

    def error(self, *, quote: bool = True) -> OciError:
        """The error that this answer stands for."""
        return error_for(self.status, self.headers, self.body, quote=quote)

    def close(self) -> None:
        """Give the connection up, if the body was not read to its end."""
        self._raw.close()
        self._raw.release_conn()


@contextmanager
def broken_connections() -> Iterator[None]:
    """Turn what urllib3 raises into Unreachable or UntrustedCertificate; no URL gets into their text (P-25)."""
    try:
        yield
    except (faults.HTTPError, OSError) as problem:
        raise _error(problem) from problem


def _error(problem: Exception) -> OciError:
    cause = _innermost(problem)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedCertificate(f"its certificate is not trusted: {cause.verify_message}")
    if isinstance(problem, faults.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        hint = "Check the port, and whether this registry speaks https at all."
        return Unreachable("no TLS connection comes about", hint=hint, retryable=False)
    return Unreachable(_words(problem, cause))


def _words(problem: Exception, cause: BaseException) -> str:
    if isinstance(problem, faults.ProxyError):
        return f"the proxy does not let us through ({_words(problem.original_error, cause)})"
    if isinstance(problem, faults.NameResolutionError):
        return "the host name is not known"
    if type(problem) is faults.ConnectTimeoutError:  # NewConnectionError is a subclass of it
        return "no connection within the time limit"
    if isinstance(problem, faults.ReadTimeoutError) or isinstance(cause, TimeoutError):
        return "the registry stopped answering"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(cause, OSError) and cause.strerror:
        return f"the connection failed: {cause.strerror.lower()}"
    return "the connection broke"


def _innermost(problem: BaseException) -> BaseException:
    """The system's own error inside urllib3's wrapping."""
    seen: BaseException = problem
    while True:
        inner = next((arg for arg in seen.args if isinstance(arg, Exception)), None) or seen.__cause__
        if inner is None or inner is seen:
            return seen
        seen = inner
