"""Digests by another algorithm than sha256, in the hands of real registries (P-51)."""

import hashlib
import json

import pytest
import requests

from demo.artifacts import OCI_CONFIG, OCI_MANIFEST, Artifact, Blob
from tests.fakes.registry import Answer
from tests.replication.support import made, replicate, some_layer
from tests.replication.test_shapes import CONFIG, TAR
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("quick_backoff")


def sha512(blob: Blob) -> str:
    return f"sha512:{hashlib.sha512(blob.data).hexdigest()}"


def described(blob: Blob, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha512(blob), "size": len(blob.data)}


def push_by_sha512(url: str, repository: str, tag: str, layer: Blob) -> Artifact:
    for blob in (CONFIG, layer):
        place = requests.post(f"{url}/v2/{repository}/blobs/uploads/", timeout=10).headers["Location"]
        requests.put(f"{place}&digest={sha512(blob)}", blob.data, timeout=10).raise_for_status()
    config = described(CONFIG, OCI_CONFIG)
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [described(layer, TAR)]}
    image = made(body)
    headers = {"Content-Type": OCI_MANIFEST}
    requests.put(f"{url}/v2/{repository}/manifests/{tag}", image.body, headers=headers, timeout=10).raise_for_status()
    return image


@pytest.mark.parametrize("size", [3_000, 3_000_000], ids=["small", "large"])
def test_blobs_under_sha512_arrive_under_it(size, source, target, namespace, judge):
    """The real registry checks that digest, and answers with the sha256 under which it keeps the bytes."""
    name = f"{namespace}/web"
    layer = some_layer(size)
    image = push_by_sha512(source, name, "v1", layer)
    ran = replicate(source, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert judge.raw(target, f"{name}:v1") == image.body
    for blob in (CONFIG, layer):
        assert requests.get(f"{target}/v2/{name}/blobs/{sha512(blob)}", timeout=10).content == blob.data
    assert ran.moved_bytes == len(CONFIG.data) + len(layer.data)
    assert json.loads(judge.raw(target, f"{name}:v1"))["layers"][0]["digest"] == sha512(layer)


def test_wrong_bytes_under_sha512_are_not_published(source, target, namespace, judge):
    name = f"{namespace}/web"
    layer = some_layer()
    push_by_sha512(source, name, "v1", layer)
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/blobs/{sha512(layer)}", Answer(body=layer.data[:-1] + b"?"))
        error = replicate(relay.url, target, source_namespace=namespace).error(f"{name}:v1")
    assert "the blob has the digest sha512:" in str(error)
    assert judge.digest(target, f"{name}:v1") == ""
