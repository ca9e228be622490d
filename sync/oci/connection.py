"""What urllib3 is made to do differently: exact request targets, a limit for sending, no peers inside, breaking off."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout, make_headers, parse_url

from sync.oci.errors import ProtocolViolation, RedirectRefused, UntrustedCertificate
from sync.oci.reference import is_link_local, is_loopback_host

TARGET_HEADER = "x-exact-target"


class LiveSockets:
    """The open sockets of one transport, so that any thread, and a signal handler, can break them off.

    `cancelled` closes the gap of a socket that opens just after shut_down(): one added while it says True ends at once.
    """

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.RLock()

    def add(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.add(opened)
        if self._cancelled():
            _shut_down(opened)

    def shut_down(self) -> None:
        """Wake every thread that is blocked in sending or receiving; whoever comes later finds a broken connection."""
        with self._lock:
            found = list(self._sockets)
        for one in found:
            _shut_down(one)


def _shut_down(one: socket.socket) -> None:
    with suppress(OSError):  # closed by its own thread or by the other side
        # Not SSLSocket's own: it drops the encryption first, and what another thread sends then would go out plain.
        socket.socket.shutdown(one, socket.SHUT_RDWR)


class LiveTlsSocket(ssl.SSLSocket):
    """Known to `live` from before its handshake on; the plain socket that it is made of is empty by then."""

    live: LiveSockets

    def do_handshake(self, block: bool = False) -> None:
        self.live.add(self)
        super().do_handshake(block)


class ExactConnection(HTTPConnection):
    """Sends the target of the pseudo header as it stands: urllib3 would rewrite percent-encodings (P-01)."""

    send_timeout = 60.0
    home = ""
    live: LiveSockets

    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        self.live.add(opened)
        return opened

    def connect(self) -> None:
        super().connect()
        if not self.proxy:
            self._check_peer(self.sock.getpeername()[0])
        self.sock.settimeout(self.send_timeout)

    def _check_peer(self, address: str) -> None:
        """Refuse what Transport.check_hop cannot see in a name; the registry's own may lead to this machine (P-35)."""
        foreign = self.host != self.home and not is_loopback_host(self.home)
        if is_link_local(address) or (foreign and is_loopback_host(address)):
            self.close()
            raise RedirectRefused("the host name leads to a link-local or loopback address")

    def request(  # type: ignore[override]
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        sent = dict(headers or {})
        target = sent.pop(TARGET_HEADER, url)
        if self.sock is not None:
            self.timeout = self.send_timeout
        super().request(method, target, body, sent, **options)


class ExactTlsConnection(ExactConnection, HTTPSConnection):
    """The same over TLS."""


def make_pools(
    home: str,
    connections: int,
    connect_timeout: float,
    read_timeout: float,
    ca_certificate: str,
    proxy: str,
    live: LiveSockets,
) -> urllib3.PoolManager:
    """Connection pools for the registry on the host `home` and where it leads, at most `connections` per host.

    Whatever they open, connections to a proxy included, is added to `live`.

    Raises UntrustedCertificate for PEM text, ProtocolViolation for a proxy that is none.
    """
    options: dict[str, Any] = {
        "maxsize": connections,
        "block": True,
        "timeout": Timeout(connect=connect_timeout, read=read_timeout),
        "ssl_context": _tls_context(ca_certificate, live),
        "blocksize": 128 * 1024,
    }
    pools = urllib3.PoolManager(**options) if not proxy else _proxied(proxy, options)
    settings = {"send_timeout": read_timeout, "home": home, "live": live}
    pools.pool_classes_by_scheme = {
        "http": _pool_class(HTTPConnectionPool, ExactConnection, settings),
        "https": _pool_class(HTTPSConnectionPool, ExactTlsConnection, settings),
    }
    return pools


def _proxied(proxy: str, options: dict[str, Any]) -> urllib3.PoolManager:
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        auth = parse_url(url).auth
        headers = make_headers(proxy_basic_auth=unquote(auth)) if auth else None
        return urllib3.ProxyManager(url, proxy_headers=headers, proxy_ssl_context=options["ssl_context"], **options)
    except urllib3.exceptions.HTTPError as problem:
        hint = "Give the proxy as http://host:port."
        raise ProtocolViolation("the address of the proxy cannot be used", hint=hint) from problem


def _pool_class(pool: type[Any], connection: type[Any], settings: Mapping[str, Any]) -> type[Any]:
    connection_class = type(connection.__name__, (connection,), dict(settings))
    return type(pool.__name__, (pool,), {"ConnectionCls": connection_class})


def _tls_context(ca_certificate: str, live: LiveSockets) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = type(LiveTlsSocket.__name__, (LiveTlsSocket,), {"live": live})
    if ca_certificate.strip():
        try:
            context.load_verify_locations(cadata=ca_certificate)
        except (ssl.SSLError, ValueError) as problem:
            hint = "Paste it as PEM text, from BEGIN CERTIFICATE to END CERTIFICATE."
            raise UntrustedCertificate("the CA certificate of this instance cannot be read", hint=hint) from problem
    return context
