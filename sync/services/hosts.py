"""Where instances are, told to nobody who may not see them: their names stand in place of their hosts."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from sync.models import Instance
from sync.services.grants import Right, Somebody, instances_with

Conceal = Callable[[str], str]


def hosts_unseen_by(user: Somebody) -> dict[str, str]:
    """Where the instances are that the user may not see, by host with and without a port; what to call each instead."""
    seen = set(instances_with(user, Right.VIEW).values_list("url", flat=True))
    hosts: dict[str, str] = {}
    for name, url in Instance.objects.exclude(url__in=seen).values_list("name", "url"):
        host = urlsplit(url)
        hosts |= dict.fromkeys((host.netloc.lower(), host.hostname or ""), name)
    for url in seen:
        hosts.pop(urlsplit(url).hostname or "", None)
    hosts.pop("", None)
    return hosts


def concealing(hosts: dict[str, str]) -> Conceal:
    """hosts: what is to stand in place of each host, with a port or without."""
    if not hosts:
        return lambda text: text
    longest_first = sorted(hosts, key=len, reverse=True)
    found = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-]|\.\w|:\d)", re.IGNORECASE)
    return lambda text: found.sub(lambda match: hosts[match[0].lower()], text)
