"""Builders of images, indexes, charts and signatures: complete, real ones, made from nothing.

The same arguments give the same bytes. Nothing here talks to a registry: `demo.content.push` does.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
SIGNATURE = "application/vnd.example.signature.v1+json"

CREATED = "2025-01-01T00:00:00Z"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Blob:
    """Bytes under their digest. `diff_id` is the digest of a layer's tar before compression."""

    data: bytes
    diff_id: str = ""

    @cached_property
    def digest(self) -> str:
        return digest_of(self.data)

    def descriptor(self, media_type: str, **more: object) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.digest, "size": len(self.data), **more}


@dataclass(frozen=True)
class Artifact:
    """A manifest with all that it refers to: push blobs and children first, then `body`."""

    body: bytes
    media_type: str
    blobs: tuple[Blob, ...] = ()
    children: tuple["Artifact", ...] = ()
    about: Mapping[str, object] = field(default_factory=dict)
    """What a descriptor of this manifest says beyond digest and size: platform, artifactType."""

    @cached_property
    def digest(self) -> str:
        return digest_of(self.body)

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body), **self.about}


def layer(files: Mapping[str, bytes], compression: int = 6) -> Blob:
    """A tar.gz of the files, given as path: content."""
    packed = _tar(files)
    return Blob(gzip.compress(packed, compression, mtime=0), diff_id=digest_of(packed))


def image(
    layers: Sequence[Blob],
    platform: str = "linux/amd64",
    labels: Mapping[str, str] | None = None,
    docker: bool = False,
) -> Artifact:
    """An image for one platform ("os/architecture"): OCI, or Docker schema 2."""
    system, architecture = platform.split("/")
    config = Blob(
        _json(
            {
                "created": CREATED,
                "architecture": architecture,
                "os": system,
                "config": {"Entrypoint": ["/bin/app"], "Labels": dict(labels or {})},
                "rootfs": {"type": "layers", "diff_ids": [blob.diff_id for blob in layers]},
                "history": [{"created": CREATED, "created_by": f"COPY layer-{n} /"} for n in range(len(layers))],
            }
        )
    )
    media_type, config_type, layer_type = (
        (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
    )
    body = {
        "config": config.descriptor(config_type),
        "layers": [blob.descriptor(layer_type) for blob in layers],
    }
    about = {"platform": {"architecture": architecture, "os": system}}
    return Artifact(_manifest(media_type, body), media_type, (config, *layers), about=about)


def index(children: Sequence[Artifact], docker: bool = False) -> Artifact:
    """An OCI index over the children, or a Docker manifest list."""
    media_type = DOCKER_LIST if docker else OCI_INDEX
    body = {"manifests": [child.descriptor() for child in children]}
    return Artifact(_manifest(media_type, body), media_type, children=tuple(children))


def chart(name: str, version: str, values: Mapping[str, object] | None = None) -> Artifact:
    """A Helm chart as `helm push` stores it: Chart.yaml as config, the .tgz as the only layer."""
    about = {
        "apiVersion": "v2",
        "name": name,
        "version": version,
        "appVersion": version,
        "description": f"Deploys {name}",
        "type": "application",
    }
    files = {
        f"{name}/Chart.yaml": yaml.safe_dump(about).encode(),
        f"{name}/values.yaml": yaml.safe_dump(dict(values or {"replicas": 2})).encode(),
        f"{name}/templates/deployment.yaml": _deployment(name),
    }
    config, package = Blob(_json(about)), layer(files)
    body = {
        "config": config.descriptor(HELM_CONFIG),
        "layers": [package.descriptor(HELM_LAYER)],
        "annotations": {
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.created": CREATED,
        },
    }
    return Artifact(_manifest(OCI_MANIFEST, body), OCI_MANIFEST, (config, package))


def signature(subject: Artifact) -> Artifact:
    """An artifact that refers to `subject` (image-spec 1.1, subject and artifactType); the signing is made up."""
    empty = Blob(b"{}")
    payload = Blob(_json({"critical": {"image": {"docker-manifest-digest": subject.digest}}, "optional": {}}))
    body = {
        "artifactType": SIGNATURE,
        "config": empty.descriptor(OCI_EMPTY),
        "layers": [payload.descriptor("application/vnd.dev.cosign.simplesigning.v1+json")],
        "subject": {
            "mediaType": subject.media_type,
            "digest": subject.digest,
            "size": len(subject.body),
        },
    }
    about = {"artifactType": SIGNATURE}
    return Artifact(_manifest(OCI_MANIFEST, body), OCI_MANIFEST, (empty, payload), about=about)


def fallback_tag(subject: Artifact) -> str:
    """Where registries without a referrers API keep the index of a subject's referrers (distribution-spec 1.1)."""
    return subject.digest.replace(":", "-")


def _manifest(media_type: str, body: Mapping[str, object]) -> bytes:
    return _json({"schemaVersion": 2, "mediaType": media_type, **body})


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def _deployment(name: str) -> bytes:
    return yaml.safe_dump(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"template": {"spec": {"containers": [{"name": name, "image": f"prod/web/{name}"}]}}},
        }
    ).encode()
