"""Which addresses the console speaks to: the one place where that is decided, for registries, for wherever these lead
(redirects, token servers, uploads), for proxies and APIs of instances, and for outgoing webhooks.

What counts is the address that is connected to: a name is looked up once, each address it has is judged, and the
connection goes to the very address that was judged. Names are judged only where somebody else looks them up (a proxy).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from sync.oci.hosts import marked

Address = IPv4Address | IPv6Address

# Where clouds tell a machine its credentials, besides link-local addresses: AWS, Google, Azure, Alibaba, Oracle.
METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"))
)
METADATA_NAMES = frozenset(
    (
        *("metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"),
        *("metadata.tencentyun.com", "metadata.oraclecloud.com"),
    )
)
# Behind which IPv4 addresses stand, in the last 32 bits: NAT64, mapped and compatible ones.
BEFORE_IPV4 = tuple(map(IPv6Network, ("64:ff9b::/96", "::ffff:0:0/96", "::/96")))
OWN_NAT64 = IPv6Network("64:ff9b:1::/48")

CREDENTIALS = "is where clouds keep credentials (link-local or metadata), which is never allowed"
NOT_ONE_MACHINE = "is no address of one machine"
PRIVATE = "is private"
THIS_MACHINE = "is a loopback address: this machine itself"


class Refused(Exception):
    """None of the addresses of a host may be reached. `address`: the last of them; `why`: the end of a sentence."""

    def __init__(self, host: str, address: str, why: str) -> None:
        super().__init__(f"{marked(host)}{'' if host == address else f' leads to {marked(address)}, which'} {why}")
        self.why = why


@dataclass(frozen=True)
class Policy:
    """private: networks of one's own may be reached. loopback: so may this machine, if those may."""

    private: bool = True
    loopback: bool = True

    def refusal(self, text: str) -> str:
        """Why nothing is sent to this address, as the end of a sentence; blank: it may be."""
        address = ip_address(text.partition("%")[0])
        if any(one in METADATA or one.is_link_local for one in (address, *_inside(address))):
            return CREDENTIALS
        judged = _meant(address)
        special = judged.is_loopback or judged in OWN_NAT64  # reserved, and yet somebody's
        if judged.is_multicast or judged.is_unspecified or (judged.is_reserved and not special):
            return NOT_ONE_MACHINE
        if not self.private and (judged in OWN_NAT64 or not judged.is_global):
            return PRIVATE
        return THIS_MACHINE if judged.is_loopback and not self.loopback else ""

    def refusal_of_name(self, host: str) -> str:
        """The same for a host (without brackets) as far as can be told without looking it up."""
        name = host.rstrip(".").lower()
        if name in METADATA_NAMES:
            return CREDENTIALS
        address = _spelled_out(name)
        return self.refusal(address) if address else ""

    def refusal_of_host(self, host: str) -> str:
        """The same by all addresses that its name has now."""
        try:
            found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except (OSError, UnicodeError):
            found = set()  # nobody is there to be reached
        return self.refusal_of_name(host) or next(filter(None, map(self.refusal, sorted(found))), "")

    def refusal_behind_proxy(self, host: str) -> str:
        """The same where a proxy looks the name up: it decides. Where networks of one's own are closed, the name is
        looked up here, too, for what that is worth."""
        return self.refusal_of_name(host) if self.private else self.refusal_of_host(host)


def connect(host: str, port: int, seconds: float, policy: Policy | None) -> socket.socket:
    """A connection to the first address of the host that may be reached and answers; so many seconds for each.

    policy: None for a host that whoever runs the console has chosen. Raises Refused when none may be reached, else
    OSError and UnicodeError.
    """
    if policy and (why := policy.refusal_of_name(host)):
        raise Refused(host, host, why)
    refused: Exception | None = None
    problem: OSError | None = None
    for family, kind, protocol, _, target in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        address = str(target[0])
        if policy and (why := policy.refusal(address)):
            refused = Refused(host, address, why)
            continue
        try:
            return _open(family, kind, protocol, target, seconds)
        except OSError as error:
            problem = problem or error
    raise problem or refused or OSError("the name has no address")


def _open(family: int, kind: int, protocol: int, target: object, seconds: float) -> socket.socket:
    opened = socket.socket(family, kind, protocol)
    try:
        opened.settimeout(seconds)
        opened.connect(target)  # type: ignore[arg-type]  # as getaddrinfo gave it
    except BaseException:
        opened.close()
        raise
    return opened


def _meant(address: Address) -> Address:
    """The IPv4 address that some IPv6 addresses surely stand for."""
    if isinstance(address, IPv4Address) or address.is_loopback or address.is_unspecified:
        return address
    if any(address in prefix for prefix in BEFORE_IPV4):
        return _last_bits(address)
    return address.sixtofour or address


def _inside(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that may be meant by an IPv6 address, by any of the ways to write one into it."""
    if isinstance(address, IPv4Address):
        return
    yield _meant(address)
    yield from address.teredo or ()
    if address in OWN_NAT64:  # whose networks choose where in it the address stands (RFC 6052, 2.2)
        yield _last_bits(address)
        bits = int(address)
        yield IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF)


def _last_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def _spelled_out(name: str) -> str:
    """The address that a name is, however the resolver lets it be written (127.1, 2852039166); blank for others."""
    with suppress(ValueError):
        return str(ip_address(name.partition("%")[0]))
    with suppress(OSError, ValueError):
        return str(IPv4Address(socket.inet_aton(name)))
    return ""
