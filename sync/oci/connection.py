"""What urllib3 is made to do differently: exact request targets, a time limit for sending, no peers inside."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout, make_headers, parse_url

from sync.oci.errors import ProtocolViolation, RedirectRefused, UntrustedCertificate
from sync.oci.reference import is_link_local, is_loopback_host

TARGET_HEADER = "x-exact-target"


class ExactConnection(HTTPConnection):
    """Sends the target of the pseudo header as it stands: urllib3 would rewrite percent-encodings (P-01)."""

    send_timeout = 60.0
    home = ""

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
    home: str, connections: int, connect_timeout: float, read_timeout: float, ca_certificate: str, proxy: str
) -> urllib3.PoolManager:
    """Connection pools for the registry on the host `home` and where it leads, at most `connections` per host.

    Raises UntrustedCertificate for PEM text, ProtocolViolation for a proxy that is none.
    """
    options: dict[str, Any] = {
        "maxsize": connections,
        "block": True,
        "timeout": Timeout(connect=connect_timeout, read=read_timeout),
        "ssl_context": _tls_context(ca_certificate),
        "blocksize": 128 * 1024,
    }
    pools = urllib3.PoolManager(**options) if not proxy else _proxied(proxy, options)
    settings = {"send_timeout": read_timeout, "home": home}
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
        return urllib3.ProxyManager(url, proxy_headers=headers, **options)
    except urllib3.exceptions.HTTPError as problem:
        hint = "Give the proxy as http://host:port."
        raise ProtocolViolation("the address of the proxy cannot be used", hint=hint) from problem


def _pool_class(pool: type[Any], connection: type[Any], settings: Mapping[str, Any]) -> type[Any]:
    connection_class = type(connection.__name__, (connection,), dict(settings))
    return type(pool.__name__, (pool,), {"ConnectionCls": connection_class})


def _tls_context(ca_certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_certificate.strip():
        try:
            context.load_verify_locations(cadata=ca_certificate)
        except (ssl.SSLError, ValueError) as problem:
            hint = "Paste it as PEM text, from BEGIN CERTIFICATE to END CERTIFICATE."
            raise UntrustedCertificate("the CA certificate of this instance cannot be read", hint=hint) from problem
    return context
