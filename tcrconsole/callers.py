"""Who calls: the address of the client, behind proxies too, and on whose behalf a request is served."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse

View = Callable[[HttpRequest], HttpResponse]
Network = IPv4Network | IPv6Network


def check_networks(texts: list[str]) -> list[Network]:
    """Raises ImproperlyConfigured."""
    try:
        return [ip_network(text.strip(), strict=False) for text in texts]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES: {error}. Give addresses or networks of proxies, as 10.0.0.5,10.1.0.0/16."
        ) from None


def address_of_client(get_response: View) -> View:
    """REMOTE_ADDR becomes the address of who called the outermost trusted proxy. Nobody else reads such headers.

    Who comes by a Unix socket, without an address, is on this machine.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        request.META["REMOTE_ADDR"] = _address(request.META.get("REMOTE_ADDR", "")) or "127.0.0.1"
        hops = request.META.pop("HTTP_X_FORWARDED_FOR", "").split(",")
        while hops and _is_trusted(request.META["REMOTE_ADDR"]):
            hop = _address(hops.pop())
            if not hop:
                break
            request.META["REMOTE_ADDR"] = hop
        return get_response(request)

    return middleware


def _address(text: str) -> str:
    """Some proxies add a port. Blank for what is no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _is_trusted(address: str) -> bool:
    found = ip_address(address)
    return any(found in network for network in settings.TRUSTED_PROXIES)


def on_behalf_of_user(get_response: View) -> View:
    """What is written while the request is served is noted as the user's."""

    def middleware(request: HttpRequest) -> HttpResponse:
        from sync.services.audit import Caller, on_behalf_of  # models are there once all apps are

        with on_behalf_of(Caller(user=request.user, address=request.META["REMOTE_ADDR"])):
            return get_response(request)

    return middleware
