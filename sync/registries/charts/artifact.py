"""A chart's package as the OCI chart that Helm 3 makes of it, byte for byte (pkg/registry client.go, util.go)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sync.oci.errors import InvalidManifest
from sync.oci.manifest import HELM_CONFIG, OCI_MANIFEST, Kind, Manifest
from sync.oci.reference import digest_of
from sync.registries.charts.metadata import as_json, read_metadata
from sync.registries.charts.package import Inside, look_inside

CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
# What Helm wrote before 3.7.
CHART_LAYERS = frozenset({CHART_LAYER, "application/tar+gzip"})
PROVENANCE_LAYER = "application/vnd.cncf.helm.chart.provenance.v1.prov"

_ANNOTATION = "org.opencontainers.image."
# A chart's own annotations may say anything else.
_OWN_WORD = frozenset({f"{_ANNOTATION}title", f"{_ANNOTATION}version"})


@dataclass(frozen=True)
class Chart:
    """What a package (and a provenance file) comes to."""

    manifest: Manifest
    config: bytes


def make_chart(package: bytes, provenance: bytes = b"") -> Chart:
    """The same bytes for the same files. Raises InvalidManifest for what is no chart.

    Helm tells as the time of creation when the file of the package was last written, which two downloads of it do not
    share. Packing a chart writes its Chart.yaml at that moment, so its time is taken: it lies inside the package.
    """
    inside = look_inside(package)
    metadata = read_metadata(inside.chart_yaml, inside.requirements)
    config = as_json(metadata)
    layers = [_descriptor(CHART_LAYER, package)]
    layers += [_descriptor(PROVENANCE_LAYER, provenance)] if provenance else []
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "config": _descriptor(HELM_CONFIG, config),
        "layers": sorted(layers, key=lambda layer: str(layer["digest"])),
        "annotations": dict(sorted(_annotations(metadata, inside).items())),
    }
    return Chart(Manifest.parse(as_json(document), OCI_MANIFEST), config)


def name_and_version(package: bytes) -> tuple[str, str]:
    """As Chart.yaml tells them. Raises InvalidManifest for what is no chart."""
    inside = look_inside(package)
    metadata = read_metadata(inside.chart_yaml, inside.requirements)
    return metadata["name"], metadata["version"]


def chart_layer(manifest: Manifest) -> str:
    """The digest of the package in a chart's manifest. Raises InvalidManifest for any other manifest."""
    layers = [layer.digest for layer in manifest.layers if layer.media_type in CHART_LAYERS]
    if manifest.kind is not Kind.CHART or len(layers) != 1:
        raise InvalidManifest("a chart repository takes charts only", hint="Let the rule choose charts alone.")
    return layers[0]


def provenance_layer(manifest: Manifest) -> str:
    """Its digest; blank where there is none."""
    return next((layer.digest for layer in manifest.layers if layer.media_type == PROVENANCE_LAYER), "")


def tag_of(version: str) -> str:
    """Tags know no plus sign: Helm writes an underscore."""
    return version.replace("+", "_")


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _annotations(metadata: Mapping[str, Any], inside: Inside) -> dict[str, str]:
    sources, maintainers = metadata.get("sources", [""]), metadata.get("maintainers", [])
    told = {
        "description": metadata.get("description", ""),
        "title": metadata["name"],
        "version": metadata["version"],
        "url": metadata.get("home", ""),
        "created": _written(inside.modified),
        "source": sources[0],
        "authors": ", ".join(map(_author, maintainers)),
    }
    annotations = {f"{_ANNOTATION}{name}": text for name, text in told.items() if text.strip()}
    own = {name: text for name, text in metadata.get("annotations", {}).items() if name not in _OWN_WORD}
    return annotations | own


def _author(maintainer: Mapping[str, str]) -> str:
    email = maintainer.get("email", "")
    return maintainer.get("name", "") + (f" ({email})" if email else "")


def _written(seconds: int) -> str:
    """RFC 3339 in UTC; blank for a package that keeps no times."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
    except (OverflowError, ValueError, OSError):
        return ""
