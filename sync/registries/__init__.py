"""Kinds of registry, by the word that an instance stores."""

from sync.oci.client import Client
from sync.registries.base import OnlyByDigest, Registry
from sync.registries.plain import PlainRegistry

KINDS: dict[str, type[Registry]] = {"registry": PlainRegistry}


def registry_of_kind(kind: str, client: Client) -> Registry:
    return KINDS[kind](client)


__all__ = ["KINDS", "OnlyByDigest", "PlainRegistry", "Registry", "registry_of_kind"]
