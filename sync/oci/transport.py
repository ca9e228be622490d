"""The only module that speaks to registries: time limits, redirects, retries, throttling, connections that are kept."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import quote, urljoin, urlsplit

from sync.oci.connection import LiveSockets, Opener, Proxy, unreachable
from sync.oci.errors import (
    Cancelled,
    PlainHttpRefused,
    ProtocolViolation,
    RedirectRefused,
    Unreachable,
    parse_retry_after,
    readable,
)
from sync.oci.guest import CONNECTIONS_PER_PROCESS, NO_LIMITS, PACED_BLOCK, Limits, OwnRoom
from sync.oci.http1 import LeftBeforeAnswering, Wire, body_of, request_head
from sync.oci.pool import POLL_INTERVAL, Pool
from sync.oci.reference import DEFAULT_PORTS, is_link_local, is_loopback
from sync.oci.response import BODY_LIMIT, Response

log = logging.getLogger(__name__)

ATTEMPTS = 4
REDIRECT_LIMIT = 5
RETRY_AFTER_CAP = 60.0
BACKOFF_FIRST = 0.25
BACKOFF_CAP = 15.0
COURTESY_LIMIT = 2.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
PLAIN_PATH = re.compile(r"/(?!/)[!-~]*")
DEFAULTS = (("User-Agent", "tcrconsole"), ("Accept-Encoding", "identity"))

Body = bytes | Iterable[bytes | memoryview] | None


@dataclass(frozen=True)
class Endpoint:
    """One registry as the wire sees it. Times in seconds; `ca_certificate` is PEM text, added to the system's."""

    url: str
    name: str = ""
    ca_certificate: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    allow_plain_http: bool = False
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    max_connections: int = CONNECTIONS_PER_PROCESS

    @property
    def label(self) -> str:
        """What a message calls this registry."""
        return self.name or host_of(self.url)


def always() -> None:
    """Raises nothing: the request may be sent."""


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what credentials belong to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme)


def host_of(url: str) -> str:
    """Host and port as the URL names them, for messages and the log."""
    return readable(urlsplit(url).netloc.rpartition("@")[2])


def resolve(base: str, named: str) -> str:
    """The URL that a registry names, seen from `base`; raises ProtocolViolation for text that is no URL."""
    try:
        url = urljoin(base, named)
        origin(url)
    except ValueError as problem:
        raise ProtocolViolation("the registry names an address that is none") from problem
    return url


@dataclass
class Place:
    """Where requests of one origin go. `prefix`: what a proxy wants before the path; `quiet_until`: P-26."""

    pool: Pool
    prefix: str
    headers: tuple[tuple[str, str], ...]
    quiet_until: float = 0.0


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
        self._places: dict[str, Place] = {}
        self._places_lock = threading.Lock()
        self._live = LiveSockets(cancelled)
        home = urlsplit(endpoint.url)
        self._home = f"{home.scheme}://{home.netloc}"
        self._opener = Opener(
            home.hostname or "", endpoint.connect_timeout, endpoint.read_timeout, endpoint.ca_certificate, self._live
        )

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
        unread; else it is read whole, up to `limit` bytes. check: called before each attempt. Raises
        what `check` raises, Unreachable, UntrustedCertificate, PlainHttpRefused, RedirectRefused, ResponseTooLarge,
        Cancelled.
        """
        url = self._home + target if PLAIN_PATH.fullmatch(target) else urljoin(self.endpoint.url, target)
        sent = headers or {}
        repeatable = body is None or isinstance(body, bytes)
        attempt = 1
        while True:
            final = attempt >= self.attempts or not repeatable
            self._await_turn(url)
            check()
            try:
                response = self._follow(method, url, sent, body)
                if not (stream and response.is_success):
                    response.load(limit)
            except Unreachable as problem:
                self.check_cancelled()
                if final or not problem.retryable:
                    raise
                log.info("%s %s: %s; attempt %d", method, _shown(url), problem.problem, attempt)
                self.pause(attempt)
            else:
                if not self._put_off(response, url, attempt, final):
                    return response
            attempt += 1

    def pause(self, attempt: int) -> None:
        """Wait before the next attempt: exponential back-off with jitter. Raises Cancelled."""
        longest = min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** (attempt - 1))
        self._wait(longest * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing

    def check_cancelled(self) -> None:
        """Raise Cancelled when the caller of this transport asked to stop."""
        if self._cancelled():
            raise Cancelled("stopped on request")

    def check_hop(self, url: str, *, with_credential: bool = False) -> None:
        """Refuse a URL, named by the registry, that must not be followed from here (P-02, P-20, P-35).

        Raises RedirectRefused for https to http, unless plain HTTP is allowed and no credential goes along; for
        link-local hosts; and for loopback unless the registry is there too. PlainHttpRefused for plain HTTP that is not
        allowed.
        """
        home = self.endpoint.url
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise self._refused(url, "to an address that is not http or https")
        may_be_plain = self.endpoint.allow_plain_http and not with_credential
        if parts.scheme == "http" and home.startswith("https:") and not may_be_plain:
            raise self._refused(url, "from https to plain http")
        if is_link_local(parts.hostname) or (is_loopback(url) and not is_loopback(home)):
            raise self._refused(url, "to an address inside this machine or its cloud")
        self._check_plain_http(url)

    def courtesy(self) -> Transport:
        """A transport to the same place for cleaning up: one attempt, short limits, apart from close() and abort().

        It works after cancellation, too, and holds nobody up for long. Whoever asks for it closes it.
        """
        if (home := self._places.get(self._home)) is not None:
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
        with self._places_lock:
            places = list(self._places.values())
        for place in places:
            place.pool.close()

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Response:
        """Send, and follow redirects of GET and HEAD by hand (P-33): Authorization stays with its origin."""
        for _ in range(REDIRECT_LIMIT + 1):
            response = self._send(method, url, headers, body)
            if response.status not in REDIRECTS or method not in ("GET", "HEAD") or not response.header("Location"):
                return response
            response.close()
            following = resolve(url, response.header("Location"))
            self.check_hop(following)
            if origin(following) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = following
        raise RedirectRefused(f"the registry redirects more than {REDIRECT_LIMIT} times")

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Response:
        """One request over one connection; over another one when the first had been closed while it was idle."""
        place, target = self._route(url)
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

    def _route(self, url: str) -> tuple[Place, str]:
        """Where a URL's requests go, and what they ask for there. Raises PlainHttpRefused."""
        if url.startswith(self._home) and PLAIN_PATH.fullmatch(url, len(self._home)):
            place = self._places.get(self._home) or self._new_place(self._home)
            return place, place.prefix + url[len(self._home) :].partition("#")[0]
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        target = quote(f"{parts.path or '/'}{parts.query and '?'}{parts.query}", safe=PRINTABLE)
        place = self._places.get(base) or self._new_place(base)
        return place, place.prefix + target

    def _new_place(self, base: str) -> Place:
        self._check_plain_http(base)
        parts = urlsplit(base)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        proxy = Proxy.parse(self._proxy_for(base))
        ours = self._limits.room if origin(base) == origin(self.endpoint.url) else None
        opening = partial(self._opener.open, parts.scheme, host, port, proxy)
        pool = Pool(opening, ours or OwnRoom(self.endpoint.max_connections), self.check_cancelled)
        name = parts.netloc.rpartition("@")[2]
        headers, prefix = [("Host", name)], ""
        if proxy is not None and parts.scheme == "http":
            prefix = f"http://{name}"
            headers += [("Proxy-Authorization", proxy.authorization)] if proxy.authorization else []
        place = Place(pool, prefix, (*headers, *DEFAULTS))
        with self._places_lock:
            return self._places.setdefault(base, place)

    def _proxy_for(self, url: str) -> str:
        """The proxy for a URL: the endpoint's own, else that of HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""
        if self.endpoint.proxy or is_loopback(url):
            return self.endpoint.proxy
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme, "")
        return "" if proxy and urllib.request.proxy_bypass(parts.netloc) else proxy

    def _put_off(self, response: Response, url: str, attempt: int, final: bool) -> bool:
        """Whether to repeat after this answer; waits, or makes all requests to the host wait (P-26)."""
        if response.status not in (408, 429) and response.status < 500:
            return False
        told = parse_retry_after(response.header("Retry-After"))
        if told is not None and told <= RETRY_AFTER_CAP:
            self._route(url)[0].quiet_until = time.monotonic() + told
        if final or (told is not None and told > RETRY_AFTER_CAP):
            return False
        log.info("%s answered %d; attempt %d", _shown(url), response.status, attempt)
        if told is None:
            self.pause(attempt)
        return True

    def _await_turn(self, url: str) -> None:
        self.check_cancelled()
        place, _ = self._route(url)
        if place.quiet_until:
            self._wait(place.quiet_until - time.monotonic())
            self.check_cancelled()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check_cancelled()
            self._idle.wait(min(left, POLL_INTERVAL))

    def _check_plain_http(self, url: str) -> None:
        if url.startswith("http:") and not self.endpoint.allow_plain_http and not is_loopback(url):
            raise PlainHttpRefused(f"{host_of(url)} would be spoken to over plain http")

    def _refused(self, url: str, how: str) -> RedirectRefused:
        log.warning("%s leads %s (%s): refused", self.endpoint.label, how, host_of(url))
        return RedirectRefused(f"the registry leads {how} ({host_of(url)})")


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


def _shown(url: str) -> str:
    """A URL for the log: without its query, which may be a secret."""
    return host_of(url) + readable(urlsplit(url).path)
