"""What urllib3 is made to do differently: exact request targets, a time limit for sending, no link-local peers."""

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
from sync.oci.reference import is_link_local

TARGET_HEADER = "x-exact-target"
POOL_WAIT = 0.2


class ExactConnection(HTTPConnection):
    """Sends the target of the pseudo header as it stands: urllib3 would rewrite percent-encodings (P-01)."""

    send_timeout = 60.0

    def connect(self) -> None:
        super().connect()
        if not self.proxy and is_link_local(self.sock.getpeername()[0]):
            self.close()
            raise RedirectRefused("the host name leads to a link-local address")
        self.sock.settimeout(self.send_timeout)

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
    connections: int, connect_timeout: float, read_timeout: float, ca_certificate: str, proxy: str
) -> urllib3.PoolManager:
    """Connection pools, at most `connections` per host; a request waits POOL_WAIT seconds for one, then urllib3
    raises EmptyPoolError. Raises UntrustedCertificate for PEM text, ProtocolViolation for a proxy that is none."""
    options: dict[str, Any] = {
        "maxsize": connections,
        "block": True,
        "timeout": Timeout(connect=connect_timeout, read=read_timeout),
        "ssl_context": _tls_context(ca_certificate),
        "blocksize": 128 * 1024,
    }
    pools = urllib3.PoolManager(**options) if not proxy else _proxied(proxy, options)
    pools.pool_classes_by_scheme = {
        "http": _pool_class(HTTPConnectionPool, ExactConnection, read_timeout),
        "https": _pool_class(HTTPSConnectionPool, ExactTlsConnection, read_timeout),
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


def _pool_class(pool: type[Any], connection: type[Any], send_timeout: float) -> type[Any]:
    connection_class = type(connection.__name__, (connection,), {"send_timeout": send_timeout})
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
