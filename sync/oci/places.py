"""Where requests go: a registry, and the hosts that its redirects name, each with its connections and its proxy."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, urljoin, urlsplit

from sync.oci.addresses import Policy
from sync.oci.connection import LiveSockets, Opener, Proxy, Way
from sync.oci.errors import AddressRefused, PlainHttpRefused, ProtocolViolation, RedirectRefused, readable
from sync.oci.guest import CONNECTIONS_PER_PROCESS, Limits, OwnRoom
from sync.oci.hosts import marked
from sync.oci.pool import Pool
from sync.oci.reference import DEFAULT_PORTS, is_loopback, is_loopback_host

PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
ABSOLUTE = re.compile(r"https?://[!-~]+")
PLAIN_PATH = re.compile(r"/(?!/)[!-~]*")
DEFAULTS = (("User-Agent", "tcrconsole"), ("Accept-Encoding", "identity"))


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
    # Whether it, and where it leads, may have addresses in networks of one's own.
    private_addresses: bool = True

    def policy_towards(self, host: str) -> Policy:
        """Where requests to this host may go: nobody leads us into this machine but who is there already (P-35)."""
        home = urlsplit(self.url).hostname or ""
        return Policy(private=self.private_addresses, loopback=host == home or is_loopback_host(home))

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
        url = named if ABSOLUTE.fullmatch(named) else urljoin(base, named)
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


class Places:
    """The places that one client speaks to; `home` is the registry's own. Safe for many threads."""

    def __init__(
        self, endpoint: Endpoint, limits: Limits, live: LiveSockets, check_cancelled: Callable[[], None]
    ) -> None:
        parts = urlsplit(endpoint.url)
        self._endpoint = endpoint
        self._limits = limits
        self._check_cancelled = check_cancelled
        self._home = f"{parts.scheme}://{parts.netloc}"
        self._places: dict[str, Place] = {}
        self._lock = threading.Lock()
        self._opener = Opener(endpoint.connect_timeout, endpoint.read_timeout, endpoint.ca_certificate, live)

    @property
    def home(self) -> Place | None:
        """None before the first request."""
        return self._places.get(self._home)

    def url_of(self, target: str) -> str:
        """The URL of a path on the registry; a URL stays as it is."""
        return self._home + target if PLAIN_PATH.fullmatch(target) else urljoin(self._endpoint.url, target)

    def is_home(self, url: str) -> bool:
        """Whether it leads to the registry itself."""
        ours = url.startswith(self._home) and PLAIN_PATH.fullmatch(url, len(self._home))
        return bool(ours) or origin(urljoin(self._endpoint.url, url)) == origin(self._endpoint.url)

    def route(self, url: str) -> tuple[Place, str]:
        """Where a URL's requests go, and what they ask for there. Raises PlainHttpRefused."""
        if url.startswith(self._home) and PLAIN_PATH.fullmatch(url, len(self._home)):
            place = self._places.get(self._home) or self._new(self._home)
            return place, place.prefix + url[len(self._home) :].partition("#")[0]
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        target = quote(f"{parts.path or '/'}{parts.query and '?'}{parts.query}", safe=PRINTABLE)
        place = self._places.get(base) or self._new(base)
        return place, place.prefix + target

    def check_plain_http(self, url: str) -> None:
        """Raises PlainHttpRefused where that is not allowed."""
        if url.startswith("http:") and not self._endpoint.allow_plain_http and not is_loopback(url):
            raise PlainHttpRefused(f"{marked(host_of(url))} would be spoken to over plain http")

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            places = list(self._places.values())
        for place in places:
            place.pool.close()

    def _new(self, base: str) -> Place:
        self.check_plain_http(base)
        parts = urlsplit(base)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        proxy = self._proxy_for(base)
        ours = self._limits.room if origin(base) == origin(self._endpoint.url) else None
        refusing = RedirectRefused if host != urlsplit(self._endpoint.url).hostname else AddressRefused
        way = Way(self._endpoint.policy_towards(host), refusing, proxy)
        opening = partial(self._opener.open, parts.scheme, host, port, way)
        pool = Pool(opening, ours or OwnRoom(self._endpoint.max_connections), self._check_cancelled)
        name = parts.netloc.rpartition("@")[2]
        headers, prefix = [("Host", name)], ""
        if proxy is not None and parts.scheme == "http":
            prefix = f"http://{name}"
            headers += [("Proxy-Authorization", proxy.authorization)] if proxy.authorization else []
        place = Place(pool, prefix, (*headers, *DEFAULTS))
        with self._lock:
            return self._places.setdefault(base, place)

    def _proxy_for(self, url: str) -> Proxy | None:
        """The proxy for a URL: the endpoint's own, else that of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

        The latter is chosen by whoever runs the console: its address is not judged.
        """
        own = self._endpoint.proxy
        if own or is_loopback(url):
            return Proxy.parse(own, Policy(private=self._endpoint.private_addresses))
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme, "")
        return None if proxy and urllib.request.proxy_bypass(parts.netloc) else Proxy.parse(proxy, None)
