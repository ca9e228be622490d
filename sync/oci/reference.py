"""Names of things in registries: addresses, repositories, tags, digests, references, namespaces.

Grammar: OCI distribution specification 1.1 (repository, tag), OCI image specification 1.1 (digest).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from sync.oci.addresses import Policy

if TYPE_CHECKING:
    from hashlib import _Hash

NAMESPACE_TOP = "/"
DOCKER_HUB = "docker.io"
DOCKER_HUB_API = "registry-1.docker.io"
DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, DOCKER_HUB_API, "index.docker.io"})
DEFAULT_PORTS = {"http": 80, "https": 443}

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST_TAG = re.compile(r"(?:sha256|sha512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")
# Of a chart repository, below its host.
_ADDRESS_PATH = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*")
_LOOKS_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


class InvalidReference(ValueError):
    """A name that no registry would take. The message is a full sentence for a person."""


def parse_digest(text: str) -> str:
    """Return `text` when it is a sha256 or sha512 digest in lower-case hex; else raise InvalidReference."""
    if not _DIGEST.fullmatch(text):
        raise InvalidReference(
            f"{_shown(text)} is not a digest: sha256: and 64 (or sha512: and 128) lower-case hex digits."
        )
    return text


def hasher(digest: str) -> _Hash:
    """A fresh hash object for the algorithm of a valid digest."""
    return hashlib.new(parse_digest(digest).partition(":")[0])


def digest_of(body: bytes, like: str = "") -> str:
    """The digest of `body`, by the algorithm of the digest `like` (sha256 when there is none)."""
    hashing = hasher(like) if like else hashlib.sha256()
    hashing.update(body)
    return f"{hashing.name}:{hashing.hexdigest()}"


def check_repository(name: str) -> str:
    """Return `name` when it is a repository name of at most 255 characters; else raise InvalidReference."""
    if len(name) > 255:
        raise InvalidReference(f"The repository name {_shown(name)} is longer than 255 characters.")
    if not _REPOSITORY.fullmatch(name):
        raise InvalidReference(
            f"{_shown(name)} is not a repository name: lower-case letters and digits, joined by one of "
            "'.', '_', '__' or '-', in parts divided by '/'."
        )
    return name


def check_tag(tag: str) -> str:
    """Return `tag` when it is a tag of at most 128 characters; else raise InvalidReference."""
    if not _TAG.fullmatch(tag):
        raise InvalidReference(
            f"{_shown(tag)} is not a tag: up to 128 letters, digits, '_', '.' or '-', not starting with '.' or '-'."
        )
    return tag


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def is_digest_tag(tag: str) -> bool:
    """Whether the tag belongs to a digest: the referrers fallback tag, or one of cosign's."""
    return _DIGEST_TAG.fullmatch(tag) is not None


def digest_tags(digest: str) -> tuple[str, ...]:
    """The tags that hold what describes `digest`; the referrers fallback tag comes first.

    OCI distribution 1.1, "Referrers Tag Schema": the hex part is cut after 64 characters.
    """
    algorithm, _, value = parse_digest(digest).partition(":")
    fallback = f"{algorithm}-{value[:64]}"
    return (fallback, f"{fallback}.sig", f"{fallback}.att", f"{fallback}.sbom")


def subject_of(digest_tag: str) -> str:
    """The digest that such a tag belongs to; blank where the tag holds a part of it only (sha512)."""
    algorithm, _, value = digest_tag.partition(".")[0].partition("-")
    return f"{algorithm}:{value}" if algorithm == "sha256" else ""


@dataclass(frozen=True)
class Reference:
    """What a person writes for one artifact. `tag` and `digest` are "" when they were not given."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `host:5000/a/b:tag@sha256:...`; without a host it is a name of Docker Hub. Raises InvalidReference."""
        rest = re.sub(r"^https?://", "", text.strip(), flags=re.IGNORECASE)
        rest, at, digest = rest.partition("@")
        host, rest = _split_host(rest)
        rest, colon, tag = rest.partition(":")
        if host == DOCKER_HUB and "/" not in rest:
            rest = f"library/{rest}"
        return cls(
            registry=host,
            repository=check_repository(rest),
            tag=check_tag(tag) if colon else "",
            digest=parse_digest(digest) if at else "",
        )

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}{self.tag and ':' + self.tag}{self.digest and '@' + self.digest}"


def names_host(first: str) -> bool:
    """Whether what stands before the first slash of a reference is a host, and no part of the repository."""
    return any(sign in first for sign in ".:[") or first != first.lower() or first == "localhost"


def _split_host(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not (slash and names_host(first)):
        return DOCKER_HUB, text
    parts = _split_address(f"https://{first}")
    host = _authority(parts)
    return (DOCKER_HUB if host in DOCKER_HUB_NAMES else host), rest


def normalize_address(text: str, *, with_path: bool = False) -> str:
    """The URL of the registry that a person typed: `Registry.Example:443/` becomes `https://registry.example`.

    A typed scheme is kept; without one it is https, on loopback http. with_path: a path may follow, for what is not
    the OCI API. Raises InvalidReference for credentials, other paths, queries, other schemes and for hosts that are
    never spoken to.
    """
    typed = text.strip()
    has_scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", typed) is not None
    parts = _split_address(typed if has_scheme else f"https://{typed}")
    if parts.scheme not in DEFAULT_PORTS:
        raise InvalidReference(f"{_shown(parts.scheme)} is not a scheme for registries: use https:// or http://.")
    path = parts.path.strip("/")
    if (path and not (with_path and _ADDRESS_PATH.fullmatch(path))) or parts.query or parts.fragment:
        raise InvalidReference(
            "Only the host belongs into a registry's address: leave out everything after it. "
            "A chart repository is a kind of its own, and may have a path."
        )
    if why := Policy().refusal_of_name(parts.hostname or ""):
        raise InvalidReference(f"{_shown(parts.hostname or '')} {why}.")
    if not has_scheme and is_loopback(parts.geturl()):
        parts = parts._replace(scheme="http")
    host = _authority(parts)
    return f"{parts.scheme}://{DOCKER_HUB_API if host in DOCKER_HUB_NAMES else host}{path and '/'}{path}"


def _split_address(url: str) -> SplitResult:
    """Split a URL whose host must be a plain one: no credentials, no odd spelling of an IP address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as problem:
        raise InvalidReference(
            "This is not an address: give the name of a host and, if needed, a colon and a port from 1 to 65535."
        ) from problem
    if "@" in parts.netloc:
        raise InvalidReference("An address must not contain a user name or a password: they have fields of their own.")
    if port == 0 or parts.netloc.endswith(":") or not _is_host(host):
        raise InvalidReference(f"{_shown(parts.netloc)} is not the name of a host.")
    return parts


def _is_host(host: str) -> bool:
    if _ip_address(host) is not None:
        return True
    # "127.1" or "2852039166" are addresses to the resolver, but not to the checks that follow
    return _HOST_NAME.fullmatch(host) is not None and _LOOKS_NUMERIC.fullmatch(host) is None


def _authority(parts: SplitResult) -> str:
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f"{shown}:{parts.port}"


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine (see is_loopback_host)."""
    return is_loopback_host(urlsplit(url).hostname or "")


def is_loopback_host(host: str) -> bool:
    """Whether `host` (without brackets) is localhost, in 127.0.0.0/8, ::1 or the unspecified address."""
    name = host.rstrip(".")
    address = _ip_address(name)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return name == "localhost" or name.endswith(".localhost")


def in_namespace(repository: str, namespace: str) -> str | None:
    """The part of `repository` after `namespace/`, or None when it lies elsewhere.

    The namespace "/" holds the repositories without any slash, under their whole name.
    """
    if namespace == NAMESPACE_TOP:
        return None if "/" in repository else repository
    rest = repository.removeprefix(f"{namespace}/")
    return None if rest == repository else rest


def join_namespace(namespace: str, rest: str) -> str:
    """The repository that `rest` names inside `namespace`: the reverse of in_namespace."""
    return rest if namespace == NAMESPACE_TOP else f"{namespace}/{rest}"


def namespaces_of(repositories: Iterable[str]) -> dict[str, int]:
    """Every namespace that one of the repositories lies in, at any depth, sorted, and how many lie in it."""
    found: Counter[str] = Counter()
    for repository in repositories:
        parts = repository.split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
        if len(parts) == 1:
            found[NAMESPACE_TOP] += 1
    return dict(sorted(found.items()))


def _shown(text: str) -> str:
    """A short quotation of what was typed, fit for a message."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
