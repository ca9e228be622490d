"""Manifests and descriptors: OCI image specification 1.1 and Docker image manifest version 2, schema 2."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from sync.oci.errors import DigestMismatch, InvalidManifest, UnsupportedManifest, printable
from sync.oci.reference import InvalidReference, digest_of, parse_digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_IMAGE_CONFIG = "application/vnd.docker.container.image.v1+json"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
IMAGE_CONFIGS = frozenset({OCI_IMAGE_CONFIG, DOCKER_IMAGE_CONFIG})
FOREIGN_LAYERS = ("application/vnd.oci.image.layer.nondistributable.", "application/vnd.docker.image.rootfs.foreign.")
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"

ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))


class Kind(StrEnum):
    """What a manifest holds."""

    IMAGE = "image"
    CHART = "chart"
    OTHER = "other"


@dataclass(frozen=True)
class Descriptor:
    """A pointer to content (OCI image 1.1, "Descriptor"). `size` in bytes."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    urls: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entry: object) -> Descriptor:
        """Read a descriptor from JSON; raises InvalidManifest when a part of it is not what it must be."""
        if not isinstance(entry, dict):
            raise InvalidManifest("a descriptor in the manifest is not an object")
        size, urls = entry.get("size", 0), entry.get("urls") or []
        try:
            digest = parse_digest(_text(entry, "digest"))
        except InvalidReference as problem:
            raise InvalidManifest(f"a descriptor in the manifest has no usable digest: {problem}") from problem
        if type(size) is not int or size < 0:
            raise InvalidManifest(f"the descriptor of {digest} has no usable size")
        if not isinstance(urls, list):
            raise InvalidManifest(f"the descriptor of {digest} has no usable urls")
        return cls(
            media_type=_text(entry, "mediaType"),
            digest=digest,
            size=size,
            artifact_type=_text(entry, "artifactType"),
            urls=tuple(map(str, urls)),
        )

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @property
    def is_foreign(self) -> bool:
        """Whether the content is meant to be fetched from elsewhere, not from the registry."""
        return bool(self.urls) or self.media_type.startswith(FOREIGN_LAYERS)


@dataclass(frozen=True)
class Manifest:
    """The bytes of a manifest, exactly as the registry gave them, and a view of what they say."""

    body: bytes
    media_type: str
    digest: str

    def platform_of(self, digest: str) -> str:
        """ " for os/architecture" as this index tells of a child, "" where it tells nothing."""
        for entry in self.document.get("manifests") or ():
            platform = entry.get("platform")
            if entry.get("digest") == digest and isinstance(platform, dict):
                told = (platform.get(name) for name in ("os", "architecture", "variant"))
                named = printable("/".join(str(one) for one in told if one))[:80]
                return f" for {named}" if named else ""
        return ""

    @classmethod
    def parse(cls, body: bytes, content_type: str = "", expected_digest: str = "") -> Manifest:
        """Check and read a manifest. The type is taken from the content first, then from the header.

        Raises DigestMismatch, InvalidManifest (not JSON, no manifest, malformed descriptors) and
        UnsupportedManifest (schema 1, whose digest is not that of its bytes, and unknown types).
        """
        digest = digest_of(body, expected_digest)
        document = _json_object(body)
        schema_1 = content_type.startswith(SCHEMA_1) or (document or {}).get("schemaVersion") == 1
        if expected_digest and digest != expected_digest and not schema_1:
            raise DigestMismatch(f"the manifest has the digest {digest}, not {expected_digest}")
        if schema_1:
            raise UnsupportedManifest("the manifest is of Docker's schema 1, which is no longer supported")
        if document is None:
            raise InvalidManifest("the manifest is not a JSON object")
        manifest = cls(body, _media_type(document, content_type), digest)
        vars(manifest)["document"] = document  # what the cached property would parse once more
        manifest._check()
        return manifest

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The parsed JSON; to look at only, the bytes are what counts."""
        return _json_object(self.body) or {}

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size, self.artifact_type)

    @cached_property
    def config(self) -> Descriptor | None:
        entry = self.document.get("config")
        return None if entry is None else Descriptor.parse(entry)

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        return tuple(map(Descriptor.parse, _entries(self.document, "layers")))

    @cached_property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers that the registry itself must hold, each digest once."""
        config = () if self.config is None else (self.config,)
        kept = {blob.digest: blob for blob in (*config, *self.layers) if not blob.is_foreign}
        return tuple(kept.values())

    @cached_property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests that an index lists, in its order."""
        return tuple(map(Descriptor.parse, _entries(self.document, "manifests")))

    @cached_property
    def subject(self) -> Descriptor | None:
        entry = self.document.get("subject")
        return None if entry is None else Descriptor.parse(entry)

    @property
    def artifact_type(self) -> str:
        return _text(self.document, "artifactType")

    @property
    def kind(self) -> Kind | None:
        """Told by config media type and artifact type; None for an index that leaves it to its first child.

        A child for a platform is an image (OCI image 1.1, "Image Index": the platform is what the *image* runs on).
        """
        config_type = self.config.media_type if self.config else ""
        if HELM_CONFIG in (config_type, self.artifact_type):
            return Kind.CHART
        if self.is_index and self.children and not self.artifact_type:
            first = self.children[0]
            if all(child.artifact_type for child in self.children):
                return Kind.OTHER
            runs = not first.artifact_type and self.platform_of(first.digest) not in ("", " for unknown/unknown")
            return Kind.IMAGE if runs else None
        return Kind.IMAGE if config_type in IMAGE_CONFIGS and not self.artifact_type else Kind.OTHER

    def referrer_entry(self) -> dict[str, Any]:
        """This manifest as an entry of a referrers list (OCI distribution 1.1, "Listing Referrers")."""
        config_type = self.config.media_type if self.config else ""
        entry: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type or config_type:
            entry["artifactType"] = self.artifact_type or config_type
        annotations = self.document.get("annotations")
        return entry | {"annotations": annotations} if annotations else entry

    def _check(self) -> None:
        if self.is_index and ("layers" in self.document or "config" in self.document):
            raise InvalidManifest("the manifest claims to be an index and an image at once")
        if not self.is_index and "manifests" in self.document:
            raise InvalidManifest("the manifest claims to be an image and an index at once")
        # reading each view once refuses malformed digests before any of them becomes part of a URL
        _ = (self.artifact_type, self.blobs, self.children, self.subject)


def merge_index(ours: Manifest | None, additions: Iterable[Mapping[str, Any]]) -> Manifest:
    """The index for a referrers fallback tag: what `ours` lists, then what it lacks (OCI distribution 1.1,
    "Pushing Manifests with Subject"). Returns `ours` itself when nothing is missing there."""
    present: list[Any] = list(_entries(ours.document, "manifests")) if ours else []
    known = {entry["digest"] for entry in present}
    missing = {entry["digest"]: dict(entry) for entry in additions if entry["digest"] not in known}
    if ours and not missing:
        return ours
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*present, *missing.values()]}
    return Manifest.parse(json.dumps(document, separators=(",", ":")).encode(), OCI_INDEX)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _media_type(document: Mapping[str, Any], content_type: str) -> str:
    """The type that the content names or, where it names none, the header's if that fits, or else the shape's."""
    own = _text(document, "mediaType")
    known = INDEX_TYPES | MANIFEST_TYPES
    if own and own not in known:
        raise UnsupportedManifest(f"manifests of the type {own[:100]!r} are not supported")
    if "manifests" not in document and "config" not in document and "layers" not in document:
        raise InvalidManifest("the document is JSON, but no manifest: it has no config, no layers and no manifests")
    told = content_type.partition(";")[0].strip().lower()
    fitting = INDEX_TYPES if "manifests" in document else MANIFEST_TYPES
    default = OCI_INDEX if "manifests" in document else OCI_MANIFEST
    return own or (told if told in fitting else default)


def _entries(document: Mapping[str, Any], key: str) -> Sequence[Any]:
    entries = document.get(key)
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise InvalidManifest(f"{key!r} in the manifest is not a list")
    return entries


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidManifest(f"{key!r} in the manifest is not text")
    return value
