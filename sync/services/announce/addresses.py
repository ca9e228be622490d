"""Where an outgoing webhook may lead to: judged by the address that is really connected to, not by its name."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address

# Where clouds tell a machine its credentials, besides link-local ones: AWS, Google, Azure, Alibaba, Oracle.
METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"))
)
NAT64 = IPv6Network("64:ff9b::/96")


def refusal(text: str, *, private: bool) -> str:
    """Why nothing is sent there, as the end of a sentence; blank: it may be. `private`: networks of one's own may."""
    address = _meant(ip_address(text.partition("%")[0]))
    if address in METADATA or address.is_link_local:
        return "is where clouds keep credentials (link-local or metadata), which is never allowed"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "is no address of one machine"
    return "" if private or address.is_global else "is private"


def refusal_of_host(url: str) -> str:
    """The same for the host of a URL, by all addresses that its name has now; private ones are refused."""
    host = urlsplit(url).hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return ""  # nothing is there to be reached, and the test of the connection tells
    return next((why for address in sorted(found) if (why := refusal(address, private=False))), "")


def _meant(address: Address) -> Address:
    """The IPv4 address that some IPv6 addresses stand for."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
