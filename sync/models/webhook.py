"""What can be the address of a rule's outgoing webhook."""

from urllib.parse import urlsplit

from django.conf import settings


def webhook_fault(url: str) -> str:
    """Why this is none, in a sentence; blank when it is one, or none is given."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "This is no address: give it as https://host/path."
    if parts.scheme not in ("https", "http") or not host:
        return "Give the whole address, as https://host/path."
    if not (url.isascii() and url.isprintable()) or " " in url:
        return "Only ASCII letters, digits and signs without spaces: encode the others with “%”."
    if "@" in parts.netloc:
        return "Leave out user name and password: the secret below proves who sends."
    if parts.scheme == "http" and not settings.WEBHOOK_PRIVATE_ADDRESSES:
        return "Use https://. Plain http is for networks of your own, where WEBHOOK_PRIVATE_ADDRESSES is set."
    return ""


def shown_place(url: str) -> str:
    """Scheme and host: the rest of an address may hold what only its owner should know."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
