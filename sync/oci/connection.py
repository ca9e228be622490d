"""Opening connections: no peers inside, TLS, proxies, and breaking off what is open."""

from __future__ import annotations

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

from urllib3.util.ssltransport import SSLTransport

from sync.oci import addresses
from sync.oci.addresses import Policy
from sync.oci.errors import OciError, ProtocolViolation, Unreachable, UntrustedCertificate
from sync.oci.http1 import BrokenHttp, Socket, Wire, request_head, tcp_nodelay
from sync.oci.reference import DEFAULT_PORTS

PRIVATE_HINT = (
    "Private addresses need a platform administrator, who saves this instance, or INSTANCE_PRIVATE_ADDRESSES=true."
)


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


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; `authorization` is the value of Proxy-Authorization, "" for none; no `policy`: any address."""

    scheme: str
    host: str
    port: int
    authorization: str = ""
    policy: Policy | None = None

    @classmethod
    def parse(cls, text: str, policy: Policy | None) -> Proxy | None:
        """None for no text. Raises ProtocolViolation for what is no address of a proxy."""
        if not text:
            return None
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            port = parts.port or DEFAULT_PORTS[parts.scheme]
        except (ValueError, KeyError) as problem:
            hint = "Give the proxy as http://host:port."
            raise ProtocolViolation("the address of the proxy cannot be used", hint=hint) from problem
        user = unquote(parts.netloc.rpartition("@")[0])
        authorization = f"Basic {b64encode(user.encode()).decode()}" if user else ""
        return cls(parts.scheme, parts.hostname or "", port, authorization, policy)


@dataclass(frozen=True)
class Way:
    """How a host is reached: which of its addresses may be, what is raised where none may, and by which proxy."""

    policy: Policy
    refusing: type[OciError]
    proxy: Proxy | None = None


class Opener:
    """Opens connections for one registry, and to where it leads. Times in seconds.

    Raises UntrustedCertificate for PEM text that is none.
    """

    def __init__(self, connect_timeout: float, read_timeout: float, ca_certificate: str, live: LiveSockets) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._live = live
        self._ca_certificate = ca_certificate
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def open(self, scheme: str, host: str, port: int, way: Way) -> Wire:
        """Raises Unreachable, UntrustedCertificate, and what `way` says for a host that may not be reached."""
        if scheme == "https":
            self._tls_context()
        try:
            if way.proxy is None:
                opened: Any = self._connect(host, port, way.policy)
            elif why := way.policy.refusal_behind_proxy(host):
                raise addresses.Refused(host, host, why)
            else:
                opened = self._connect_to_proxy(way.proxy)
        except addresses.Refused as refused:
            raise not_allowed(refused, way.refusing) from refused
        if way.proxy is not None and scheme == "https":
            self._connect_through(way.proxy, opened, host, port)
        return Wire(self._secured(opened, host) if scheme == "https" else opened, self._read_timeout)

    def _connect(self, host: str, port: int, policy: Policy | None) -> socket.socket:
        try:
            opened = addresses.connect(host, port, self._connect_timeout, policy)
        except (OSError, UnicodeError) as problem:
            raise _not_connected(problem) from problem
        tcp_nodelay(opened)
        self._live.add(opened)
        return opened

    def _connect_to_proxy(self, proxy: Proxy) -> Any:
        try:
            opened = self._connect(proxy.host, proxy.port, proxy.policy)
            return self._secured(opened, proxy.host) if proxy.scheme == "https" else opened
        except Unreachable as problem:
            raise _proxy_refuses(problem.problem) from problem

    def _connect_through(self, proxy: Proxy, opened: socket.socket, host: str, port: int) -> None:
        """CONNECT (RFC 9110, 9.3.6)."""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = [("Host", place)]
        if proxy.authorization:
            headers.append(("Proxy-Authorization", proxy.authorization))
        wire = Wire(opened, self._read_timeout)
        try:
            wire.send(request_head("CONNECT", place, headers), None, chunked=False)
            status, _, _ = wire.read_head()
        except OSError as problem:
            wire.close()
            raise _proxy_refuses(unreachable(problem).problem) from problem
        if status != 200:
            wire.close()
            raise _proxy_refuses(f"it answered {status}")

    def _secured(self, opened: Any, host: str) -> Socket:
        opened.settimeout(self._connect_timeout)
        try:
            if isinstance(opened, ssl.SSLSocket):  # in the TLS connection to a proxy
                return SSLTransport(opened, self._tls_context(), server_hostname=host)  # type: ignore[return-value]
            return self._tls_context().wrap_socket(opened, server_hostname=host)
        except OSError as problem:
            opened.close()
            raise _no_tls(problem) from problem

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = _tls_context(self._ca_certificate, self._live)
        return self._context


def _tls_context(ca_certificate: str, live: LiveSockets) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = type(LiveTlsSocket.__name__, (LiveTlsSocket,), {"live": live})
    if ca_certificate.strip():
        try:
            context.load_verify_locations(cadata=ca_certificate)
        except (ssl.SSLError, ValueError) as problem:
            hint = "Paste it as PEM text, from BEGIN CERTIFICATE to END CERTIFICATE."
            raise UntrustedCertificate("the CA certificate of this instance cannot be read", hint=hint) from problem
    return context


def not_allowed(refused: addresses.Refused, refusing: type[OciError]) -> OciError:
    return refusing(str(refused), hint=PRIVATE_HINT if refused.why == addresses.PRIVATE else "")


def _not_connected(problem: Exception) -> Unreachable:
    if isinstance(problem, socket.gaierror | UnicodeError):
        return Unreachable("the host name is not known")
    if isinstance(problem, TimeoutError):
        return Unreachable("no connection within the time limit")
    return unreachable(problem)


def _no_tls(problem: OSError) -> OciError:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return UntrustedCertificate(f"its certificate is not trusted: {problem.verify_message}")
    if isinstance(problem, ssl.SSLError) and not isinstance(problem, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        hint = "Check the port, and whether this registry speaks https at all."
        return Unreachable("no TLS connection comes about", hint=hint, retryable=False)
    return unreachable(problem)


def _proxy_refuses(words: str) -> Unreachable:
    return Unreachable(f"the proxy does not let us through ({words})")


def unreachable(problem: Exception) -> Unreachable:
    """What a broken connection means; nothing of what was sent gets into the text (P-25)."""
    if isinstance(problem, TimeoutError):
        return Unreachable("the registry stopped answering")
    if isinstance(problem, ConnectionRefusedError):
        return Unreachable("the connection was refused")
    if isinstance(problem, OSError) and problem.strerror and not isinstance(problem, BrokenHttp | ssl.SSLError):
        return Unreachable(f"the connection failed: {problem.strerror.lower()}")
    return Unreachable("the connection broke")
