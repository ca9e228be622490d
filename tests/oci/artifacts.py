"""Small content for tests of the wire."""

import json
from typing import Any

from sync.oci.client import Client
from sync.oci.manifest import OCI_IMAGE_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from sync.oci.reference import digest_of

EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def blob(content: bytes, media_type: str = LAYER) -> Descriptor:
    return Descriptor(media_type, digest_of(content), len(content))


def entry(descriptor: Descriptor, **more: Any) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size, **more}


def document(value: Any) -> bytes:
    return json.dumps(value).encode()


def image(*layers: Descriptor, config: Descriptor | None = None, **more: Any) -> Manifest:
    config = config or blob(b"{}", OCI_IMAGE_CONFIG)
    content = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": entry(config), "layers": [*map(entry, layers)], **more,
    }  # fmt: skip
    return Manifest.parse(document(content))


def index(*children: Manifest, **more: Any) -> Manifest:
    entries = [entry(child.descriptor) for child in children]
    return Manifest.parse(document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}))


def push_image(client: Client, repository: str, tag: str, content: bytes = b"layer") -> Manifest:
    layer, config = blob(content), blob(b"{}", OCI_IMAGE_CONFIG)
    client.upload(repository, layer, [content])
    client.upload(repository, config, [b"{}"])
    manifest = image(layer, config=config)
    client.put_manifest(repository, tag, manifest)
    return manifest
