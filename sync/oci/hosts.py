"""Hosts in sentences: found by their looks, since a failure may name any, not only a registry's own."""

import re
from collections.abc import Callable
from ipaddress import ip_address

HIDDEN = "(a host)"
# What ends like a name of a host and is that of a file or of one of cosign's tags.
_ENDINGS = "att|gz|html|json|md|prov|sbom|sig|tar|tgz|txt|yaml|yml|zip"
_LABEL = r"\w(?:[\w-]*\w)?"
_PORT = r"(?::\d{1,5}(?!\w))?"
_LOOKS = re.compile(
    rf"""
    ‹(?P<marked>[^›]*)›
    | (?P<url>\b[a-z][a-z0-9+.-]*://[^\s"'“”<>‹›]+)
    | (?P<bracketed>\[[0-9a-f:.]*:[0-9a-f:.]*(?:%\w+)?\]{_PORT})
    | (?<![\w:.])(?P<six>[0-9a-f]{{0,4}}:[0-9a-f:.]*[0-9a-f:])(?![\w:])
    | (?<![\w./@-])(?<!\w:)
      (?P<name>
        \d{{1,3}}(?:\.\d{{1,3}}){{3}}{_PORT}(?![\w-]|\.\d)
        | (?:{_LABEL}\.)+(?!(?:{_ENDINGS})\b)(?:[a-z]{{2,}}|xn--[a-z0-9-]+)(?![\w-]|\.\w){_PORT}
        | [a-z][a-z0-9_-]*:\d{{2,5}}(?![\w:-]|\.\w)
      )
    """,
    re.IGNORECASE | re.VERBOSE,
)


def marked(host: str) -> str:
    """A host for a sentence: what nobody would take for one, as it has no dot, is marked as such."""
    found = _LOOKS.fullmatch(host)
    return host if found and _is_host(found) else f"‹{host}›"


def without_hosts(text: str, may_be_told: Callable[[str], bool] = lambda host: False) -> str:
    """Whatever looks like a host is gone, and with it the URL that it stands in.

    may_be_told: is asked for each, in lower case, with its port where it has one.
    """

    def put(found: re.Match[str]) -> str:
        return found[0] if not _is_host(found) or may_be_told(_host(found)) else HIDDEN

    return _LOOKS.sub(put, text)


def _is_host(found: re.Match[str]) -> bool:
    if not found["six"]:
        return True
    try:
        ip_address(found["six"])
    except ValueError:  # a time of day, say
        return False
    return True


def _host(found: re.Match[str]) -> str:
    if found["url"]:
        return re.split(r"[/?#]", found["url"].partition("://")[2])[0].rpartition("@")[2].lower().rstrip(".,;:)")
    return (found["marked"] or found[0]).lower()
