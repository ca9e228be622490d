"""Kinds of registry, by the word that an instance stores."""

import re
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from sync.oci.client import Client, Credential, Endpoint
from sync.registries.base import RECEIVERS, Management, OnlyByDigest, Registry, Resource
from sync.registries.charts import ChartRepository
from sync.registries.harbor import Harbor
from sync.registries.listing import Listing
from sync.registries.plain import PlainRegistry
from sync.registries.presets import Acr, DockerHub, Ecr, GitHub, GitLab, Google, Quay
from sync.registries.tcr import Tcr

KINDS: dict[str, type[Registry]] = {
    "registry": PlainRegistry,
    "tcr": Tcr,
    "harbor": Harbor,
    "charts": ChartRepository,
    "dockerhub": DockerHub,
    "github": GitHub,
    "gitlab": GitLab,
    "ecr": Ecr,
    "acr": Acr,
    "google": Google,
    "quay": Quay,
}


def kind_of_host(host: str) -> str:
    """The kind that a host name tells; blank where it tells none. host: without a port."""
    found = (kind for kind, registry in KINDS.items() if registry.hosts and re.fullmatch(registry.hosts, host))
    return next(found, "")


def recognized(registry: Registry) -> str:
    """The kind that a registry seems to be, by its host name or its answers; blank where nothing tells it."""
    if kind := kind_of_host(urlsplit(registry.client.endpoint.url).hostname or ""):
        return kind
    if registry.recognize():
        return next(kind for kind, known in KINDS.items() if type(registry) is known)
    return next((kind for kind in KINDS if _seems(kind, registry)), "")


def _seems(kind: str, registry: Registry) -> bool:
    """By what anybody may ask it."""
    if KINDS[kind].recognize is Registry.recognize or type(registry) is KINDS[kind]:
        return False
    other = open_registry(kind, registry.client.endpoint, attempts=1)
    with closing(other.client):
        return other.recognize()


def open_registry(
    kind: str,
    endpoint: Endpoint,
    credential: Credential | None = None,
    management: Management | None = None,
    *,
    client_mixin: type[Client] | None = None,
    **options: Any,
) -> Registry:
    """A registry of a kind with a client of its own; `options` are those of Client.

    client_mixin: put before the client's class, for who wants its answers to go through other hands.
    """
    registry, client = KINDS[kind], KINDS[kind].client_class
    if client_mixin is not None:
        client = type(client_mixin.__name__, (client_mixin, client) if client is not Client else (client_mixin,), {})
    return registry(client(endpoint, credential, **options), management)


__all__ = [
    "KINDS",
    "RECEIVERS",
    "Listing",
    "Management",
    "OnlyByDigest",
    "PlainRegistry",
    "Registry",
    "Resource",
    "kind_of_host",
    "open_registry",
    "recognized",
]
