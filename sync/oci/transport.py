"""The only module that speaks HTTP: time limits, redirects, retries, throttling. On urllib3."""

from __future__ import annotations

import logging
import random
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from sync.oci.connection import TARGET_HEADER, LiveSockets, make_pools
from sync.oci.errors import (
    Cancelled,
    PlainHttpRefused,
    ProtocolViolation,
    RedirectRefused,
    Unreachable,
    parse_retry_after,
    readable,
)
from sync.oci.reference import DEFAULT_PORTS, is_link_local, is_loopback
from sync.oci.response import BODY_LIMIT, Response, broken_connections

log = logging.getLogger(__name__)

ATTEMPTS = 4
REDIRECT_LIMIT = 5
RETRY_AFTER_CAP = 60.0
BACKOFF_FIRST = 0.25
BACKOFF_CAP = 15.0
POLL_INTERVAL = 0.2
COURTESY_LIMIT = 2.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

Body = bytes | Iterable[bytes] | None


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
    max_connections: int = 16

    @property
    def label(self) -> str:
        """What a message calls this registry."""
        return self.name or host_of(self.url)


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


class Transport:
    """HTTP to one registry, and to where its redirects lead. Safe for many threads.

    `cancelled` is asked before each attempt and while waiting. At most `endpoint.max_connections` connections are
    open per host; a streamed response holds one until it is read or closed, so a thread that holds one and asks
    this same transport for another needs two.
    """

    def __init__(
        self, endpoint: Endpoint, *, cancelled: Callable[[], bool] = lambda: False, attempts: int = ATTEMPTS
    ) -> None:
        self.endpoint = endpoint
        self.attempts = attempts
        self._cancelled = cancelled
        self._idle = threading.Event()
        self._quiet_until: dict[str, float] = {}
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._pools_lock = threading.Lock()
        self._live = LiveSockets(cancelled)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        *,
        stream: bool = False,
        limit: int = BODY_LIMIT,
    ) -> Response:
        """Send one request and return the answer, whatever its status.

        target: a path on the endpoint, or a URL. body: bytes, or an iterable of bytes with a Content-Length header
        (without, it goes in chunks); the latter is sent once, anything else again after connection errors, 408, 429
        and 5xx. stream: leave the body of a 2xx answer unread; else it is read whole, up to `limit` bytes. Raises
        Unreachable, UntrustedCertificate, PlainHttpRefused, RedirectRefused, ResponseTooLarge, Cancelled.
        """
        url = urljoin(self.endpoint.url, target)
        sent = {"User-Agent": "tcrconsole", "Accept-Encoding": "identity", **(headers or {})}
        repeatable = body is None or isinstance(body, bytes)
        attempt = 1
        while True:
            final = attempt >= self.attempts or not repeatable
            self._await_turn(url)
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

    def check_hop(self, url: str) -> None:
        """Refuse a URL, named by the registry, that must not be followed from here (P-02, P-20, P-35).

        Raises RedirectRefused for https to http, link-local hosts, and loopback unless the registry is there too;
        PlainHttpRefused for plain HTTP that is not allowed.
        """
        home = self.endpoint.url
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise self._refused(url, "to an address that is not http or https")
        if parts.scheme == "http" and home.startswith("https:"):
            raise self._refused(url, "from https to plain http")
        if is_link_local(parts.hostname) or (is_loopback(url) and not is_loopback(home)):
            raise self._refused(url, "to an address inside this machine or its cloud")
        self._check_plain_http(url)

    def courtesy(self) -> Transport:
        """A transport to the same place for cleaning up: one attempt, short limits, apart from close() and abort().

        It works after cancellation, too, and holds nobody up. Whoever asks for it closes it.
        """
        connect_timeout = min(COURTESY_LIMIT, self.endpoint.connect_timeout)
        read_timeout = min(COURTESY_LIMIT, self.endpoint.read_timeout)
        endpoint = replace(self.endpoint, connect_timeout=connect_timeout, read_timeout=read_timeout)
        return Transport(endpoint, attempts=1)

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
        with self._pools_lock:
            for pools in self._pools.values():
                pools.clear()

    def _follow(self, method: str, url: str, headers: dict[str, str], body: Body) -> Response:
        """Send, and follow redirects of GET and HEAD by hand (P-33): Authorization stays with its origin."""
        self._check_plain_http(url)
        for _ in range(REDIRECT_LIMIT + 1):
            response = self._send(method, url, headers, body)
            location = response.header("Location")
            if method not in ("GET", "HEAD") or response.status not in REDIRECTS or not location:
                return response
            response.close()
            following = resolve(url, location)
            self.check_hop(following)
            if origin(following) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = following
        raise RedirectRefused(f"the registry redirects more than {REDIRECT_LIMIT} times")

    def _send(self, method: str, url: str, headers: dict[str, str], body: Body) -> Response:
        parts = urlsplit(url)
        target = quote(f"{parts.path or '/'}{parts.query and '?'}{parts.query}", safe=PRINTABLE)
        proxy = self._proxy_for(url)
        if proxy and parts.scheme == "http":
            target = f"http://{parts.netloc}{target}"
        with broken_connections():
            pool = self._pools_through(proxy).connection_from_host(parts.hostname, parts.port, parts.scheme)
            # urllib3 logs this URL and puts it into its exceptions, so it goes without user and query
            masked = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
            exact = {**headers, TARGET_HEADER: target}
            while True:
                try:
                    raw = pool.urlopen(
                        method, masked, body=body, headers=exact, retries=False, redirect=False, assert_same_host=False,
                        preload_content=False, pool_timeout=POLL_INTERVAL,  # type: ignore[arg-type]
                    )  # fmt: skip
                    return Response(raw, url)
                except urllib3.exceptions.EmptyPoolError:
                    self.check_cancelled()

    def _pools_through(self, proxy: str) -> urllib3.PoolManager:
        endpoint = self.endpoint
        with self._pools_lock:
            if proxy not in self._pools:
                self._pools[proxy] = make_pools(
                    urlsplit(endpoint.url).hostname or "",
                    endpoint.max_connections,
                    endpoint.connect_timeout,
                    endpoint.read_timeout,
                    endpoint.ca_certificate,
                    proxy,
                    self._live,
                )
            return self._pools[proxy]

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
            self._quiet_until[urlsplit(url).netloc] = time.monotonic() + told
        if final or (told is not None and told > RETRY_AFTER_CAP):
            return False
        log.info("%s answered %d; attempt %d", _shown(url), response.status, attempt)
        if told is None:
            self.pause(attempt)
        return True

    def _await_turn(self, url: str) -> None:
        self.check_cancelled()
        self._wait(self._quiet_until.get(urlsplit(url).netloc, 0.0) - time.monotonic())
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


def _shown(url: str) -> str:
    """A URL for the log: without its query, which may be a secret."""
    return host_of(url) + readable(urlsplit(url).path)
