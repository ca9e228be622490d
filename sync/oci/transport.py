"""The only module that speaks to registries: time limits, redirects, retries, throttling, connections that are kept."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from sync.oci.connection import LiveSockets, unreachable
from sync.oci.errors import (
    Cancelled,
    ProtocolViolation,
    RedirectRefused,
    Unreachable,
    parse_retry_after,
    readable,
)
from sync.oci.guest import NO_LIMITS, PACED_BLOCK, Limits
from sync.oci.hosts import marked
from sync.oci.http1 import LeftBeforeAnswering, Wire, body_of, request_head
from sync.oci.places import Endpoint, Place, Places, host_of, origin, resolve
from sync.oci.pool import POLL_INTERVAL, Pool
from sync.oci.reference import DEFAULT_PORTS, is_loopback
from sync.oci.response import BODY_LIMIT, Response

log = logging.getLogger(__name__)

ATTEMPTS = 4
REDIRECT_LIMIT = 5
RETRY_AFTER_CAP = 60.0
BACKOFF_FIRST = 0.25
BACKOFF_CAP = 15.0
COURTESY_LIMIT = 2.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})

Body = bytes | Iterable[bytes | memoryview] | None


def always() -> None:
    """Raises nothing: the request may be sent."""


class Transport:
    """HTTP to one registry, and to where its redirects lead. Safe for many threads.

    `cancelled` is asked before each attempt and while waiting. At most `endpoint.max_connections` connections are
    open per host, to the registry itself as many as `limits` give room for; a streamed response holds one until it is
    read or closed, so a thread that holds one and asks this same transport for another needs two.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        attempts: int = ATTEMPTS,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.endpoint = endpoint
        self.attempts = attempts
        self._cancelled = cancelled
        self._limits = limits
        self._idle = threading.Event()
        self._live = LiveSockets(cancelled)
        self._places = Places(endpoint, limits, self._live, self.check_cancelled)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        *,
        stream: bool = False,
        limit: int = BODY_LIMIT,
        check: Callable[[], None] = always,
    ) -> Response:
        """Send one request and return the answer, whatever its status.

        target: a path on the endpoint, or a URL. body: bytes, or an iterable of bytes with a Content-Length header
        (without, it goes in chunks); the latter is sent once, anything else again after connection errors, 408, 429
        and 5xx. Who answers before having all of a body gets no more of it. stream: leave the body of a 2xx answer
        unread; else it is read whole, up to `limit` bytes. check: called right before each time that it is sent. Raises
        what `check` raises, Unreachable, UntrustedCertificate, PlainHttpRefused, RedirectRefused, ResponseTooLarge,
        Cancelled.
        """
        url = self._places.url_of(target)
        sent = headers or {}
        repeatable = body is None or isinstance(body, bytes)
        attempt = 1
        while True:
            final = attempt >= self.attempts or not repeatable
            self._await_turn(url)
            try:
                response = self._follow(method, url, sent, body, check)
                if not (stream and response.is_success):
                    response.load(limit)
            except Unreachable as problem:
                self.check_cancelled()
                if final or not problem.retryable:
                    raise
                log.info(
                    "%s: %s %s: %s; attempt %d", self.endpoint.label, method, _shown(url), problem.problem, attempt
                )
                self.pause(attempt)
            else:
                if not self._put_off(response, url, attempt, final):
                    return response
            attempt += 1

    def pause(self, attempt: int) -> None:
        """Wait before the next attempt: exponential back-off with jitter. Raises Cancelled."""
        self._wait(_back_off(attempt))

    def check_cancelled(self) -> None:
        """Raise Cancelled when the caller of this transport asked to stop."""
        if self._cancelled():
            raise Cancelled("stopped on request")

    def is_home(self, url: str) -> bool:
        """Whether a URL leads to the registry itself."""
        return self._places.is_home(url)

    def check_hop(self, url: str, *, with_credential: bool = False) -> None:
        """Refuse a URL, named by the registry, that must not be followed from here (P-02, P-20, P-35).

        Raises RedirectRefused for https to http, unless plain HTTP is allowed and no credential goes along; for
        hosts that are never spoken to, or are private where the registry may not be; and for loopback unless the
        registry is there too. PlainHttpRefused for plain HTTP that is not allowed. Names are judged once their address
        is known: by Opener.
        """
        home = self.endpoint.url
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise self._refused(url, "to an address that is not http or https")
        may_be_plain = self.endpoint.allow_plain_http and not with_credential
        if parts.scheme == "http" and home.startswith("https:") and not may_be_plain:
            raise self._refused(url, "from https to plain http")
        if is_loopback(url) and not is_loopback(home):
            raise self._refused(url, "to an address inside this machine")
        if why := self.endpoint.policy_towards(parts.hostname).refusal_of_name(parts.hostname):
            raise self._refused(url, f"to an address that {why}")
        self._places.check_plain_http(url)

    def courtesy(self) -> Transport:
        """A transport to the same place for cleaning up: one attempt, short limits, apart from close() and abort().

        It works after cancellation, too, and holds nobody up for long. Whoever asks for it closes it.
        """
        if (home := self._places.home) is not None:
            home.pool.close_one()  # so that there is room for one
        until = time.monotonic() + 2 * COURTESY_LIMIT
        connect_timeout = min(COURTESY_LIMIT, self.endpoint.connect_timeout)
        read_timeout = min(COURTESY_LIMIT, self.endpoint.read_timeout)
        endpoint = replace(self.endpoint, connect_timeout=connect_timeout, read_timeout=read_timeout)
        return Transport(endpoint, cancelled=lambda: time.monotonic() > until, attempts=1, limits=self._limits)

    def abort(self) -> None:
        """Shut down every open connection, in use or idle; from any thread, at any time, as often as one likes.

        A thread blocked in sending or receiving wakes at once: with Cancelled when `cancelled` says True by then, so
        let it say so first, and threads that are not blocked end by themselves, in better order; else as after any
        broken connection (repeated, or Unreachable). Later requests open new connections. A thread that looks up a
        host name or waits for a connection cannot be woken: connect_timeout bounds the latter, per address; when
        cancelled, it sends nothing afterwards.
        """
        self._live.shut_down()

    def close(self) -> None:
        """Close the idle connections."""
        self._places.close()

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, check: Callable[[], None]
    ) -> Response:
        """Send, and follow redirects of GET and HEAD by hand (P-33): Authorization stays with its origin."""
        for _ in range(REDIRECT_LIMIT + 1):
            response = self._send(method, url, headers, body, check)
            if response.status not in REDIRECTS or method not in ("GET", "HEAD") or not response.header("Location"):
                return response
            response.close()
            following = resolve(url, response.header("Location"))
            self.check_hop(following)
            if origin(following) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = following
        raise RedirectRefused(f"the registry redirects more than {REDIRECT_LIMIT} times")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, check: Callable[[], None]
    ) -> Response:
        """One request over one connection; over another one when the first had been closed while it was idle."""
        place, target = self._places.route(url)
        repeatable = body is None or isinstance(body, bytes)
        chunked = not repeatable and "Content-Length" not in headers
        head = _head(method, target, place, headers, body, chunked=chunked)
        if self._limits.paced and body:
            if isinstance(body, bytes):
                self._pace(len(body))
            else:
                body = self._paced(body)
        while True:
            wire = place.pool.take(sure=not repeatable)
            kept = wire.answered > 0
            try:
                check()
            except BaseException:
                place.pool.give_back(wire)
                raise
            try:
                return self._exchange(wire, place.pool, method, url, head, body, chunked=chunked)
            except LeftBeforeAnswering as problem:
                if not (kept and repeatable):
                    raise unreachable(problem) from problem
                self.check_cancelled()
            except OSError as problem:
                raise unreachable(problem) from problem

    def _exchange(
        self, wire: Wire, pool: Pool, method: str, url: str, head: bytes, body: Body, *, chunked: bool
    ) -> Response:
        try:
            try:
                complete = wire.send(head, body, chunked=chunked)
            except (BrokenPipeError, ConnectionResetError) as problem:
                raise LeftBeforeAnswering(*problem.args) from problem
            status, lasting, headers = wire.read_head()
            rest = body_of(wire, method, status, headers)
        except BaseException:
            pool.drop(wire)
            raise
        pace = self._pace if self._limits.paced else None
        return Response(status, headers, url, rest, wire, pool, reusable=lasting and complete, pace=pace)

    def _pace(self, size: int) -> None:
        """Wait until so many bytes may go. Raises Cancelled."""
        if (seconds := self._limits.spend(size)) > 0:
            self._wait(seconds)

    def _paced(self, blocks: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
        for block in blocks:
            view = memoryview(block)
            while view:
                part, view = view[:PACED_BLOCK], view[PACED_BLOCK:]
                self._pace(len(part))
                yield part

    def _put_off(self, response: Response, url: str, attempt: int, final: bool) -> bool:
        """Whether to repeat after this answer; waits, or makes all requests to the host wait (P-26)."""
        if response.status not in (408, 429) and response.status < 500:
            return False
        told = parse_retry_after(response.header("Retry-After"))
        if told is None and response.status == 429:
            told = _back_off(attempt)  # it is the sum of requests that is too many, not this one
        if told is not None and told <= RETRY_AFTER_CAP:
            place, _ = self._places.route(url)
            place.quiet_until = max(place.quiet_until, time.monotonic() + told)
        if final or (told is not None and told > RETRY_AFTER_CAP):
            return False
        log.info("%s: %s answered %d; attempt %d", self.endpoint.label, _shown(url), response.status, attempt)
        if told is None:
            self.pause(attempt)
        return True

    def _await_turn(self, url: str) -> None:
        self.check_cancelled()
        place, _ = self._places.route(url)
        if place.quiet_until:
            self._wait(place.quiet_until - time.monotonic())
            self.check_cancelled()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check_cancelled()
            self._idle.wait(min(left, POLL_INTERVAL))

    def _refused(self, url: str, how: str) -> RedirectRefused:
        log.warning("%s leads %s (%s): refused", self.endpoint.label, how, host_of(url))
        return RedirectRefused(f"the registry leads {how} ({marked(host_of(url))})")


def _head(method: str, target: str, place: Place, headers: Mapping[str, str], body: Body, *, chunked: bool) -> bytes:
    fields = [*place.headers, *headers.items()]
    if chunked:
        fields.append(("Transfer-Encoding", "chunked"))
    elif isinstance(body, bytes) and "Content-Length" not in headers:
        fields.append(("Content-Length", str(len(body))))
    try:
        return request_head(method, target, fields)
    except ValueError as problem:
        raise ProtocolViolation("what the registry told us cannot be sent back") from problem


def _back_off(attempt: int) -> float:
    """Seconds."""
    longest: float = min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def _shown(url: str) -> str:
    """A URL for the log: without its query, which may be a secret."""
    return host_of(url) + readable(urlsplit(url).path)
