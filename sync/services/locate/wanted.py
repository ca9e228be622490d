"""What a person typed to ask where it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sync.models import Instance
from sync.oci.reference import (
    DOCKER_HUB_API,
    InvalidReference,
    Reference,
    is_digest,
    names_host,
    normalize_address,
)

DEFAULT_TAG = "latest"
_SCHEME = re.compile(r"\A(?:https?|oci|docker)://", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """One artifact by the name that it has at some instances: at those of the host, at any when none was typed.

    `tag` is blank when a digest alone was typed. With both, the tag is asked for and the digest compared.
    """

    repository: str
    tag: str
    digest: str
    host: str
    named: tuple[Instance, ...]

    @property
    def reference(self) -> str:
        """What a registry is asked for."""
        return self.tag or self.digest

    @property
    def unknown_host(self) -> bool:
        return bool(self.host) and not self.named

    def repository_at(self, instance: Instance) -> str:
        """Docker Hub keeps names without a slash under library/."""
        on_hub = instance.host == DOCKER_HUB_API and "/" not in self.repository
        return f"library/{self.repository}" if on_hub else self.repository

    def named_as(self, repository: str) -> str:
        """The same tag, or digest, in another repository."""
        return f"{repository}:{self.tag}" if self.tag else f"{repository}@{self.digest}"

    def __str__(self) -> str:
        return f"{self.repository}{self.tag and ':' + self.tag}{self.digest and '@' + self.digest}"


def read(text: str, instances: Sequence[Instance]) -> Wanted:
    """`host:5000/prod/web:1.2`, with or without scheme, host, tag and digest. Raises InvalidReference."""
    typed = text.strip().strip("'\"`")
    if is_digest(typed):
        raise InvalidReference(
            "A digest alone names no repository: put the repository before it, as in prod/web@sha256:…"
        )
    bare, schemes = _SCHEME.subn("", typed)
    # As tags have it: a version's plus sign is in no name.
    bare = bare.replace("+", "_")
    first, slash, rest = bare.partition("/")
    at_host = slash and (schemes or names_host(first) or any(first.lower() == one.host for one in instances))
    host = normalize_address(first).partition("://")[2] if at_host else ""
    if at_host and (path := _path_of(host, rest, instances)):
        host, rest = f"{host}/{path}", rest.removeprefix(f"{path}/")
    # A host of its own keeps a name without one from being taken for one of Docker Hub.
    name = Reference.parse(f"localhost/{rest if at_host else bare}")
    tag = name.tag or ("" if name.digest else DEFAULT_TAG)
    named = tuple(one for one in instances if one.host == host) if host else ()
    return Wanted(name.repository, tag, name.digest, host, named)


def _path_of(host: str, rest: str, instances: Sequence[Instance]) -> str:
    """The longest path that belongs to an address, as those of chart repositories have it; blank for none."""
    known = (one.host.removeprefix(f"{host}/") for one in instances if one.host.startswith(f"{host}/"))
    return max((path for path in known if rest.startswith(f"{path}/")), key=len, default="")
