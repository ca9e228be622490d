"""The client against real registries."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Denied, NotFound, Rejected, Unauthorized
from sync.oci.manifest import merge_index
from sync.oci.reference import digest_tags
from tests.oci.artifacts import EMPTY_CONFIG, blob, entry, image, index, push_image
from tests.support import htpasswd

CONTENT = bytes(range(256)) * 20_000


def test_image_comes_back_as_it_was_pushed(client):
    client.ping()
    pushed = push_image(client, "round/trip", "v1")
    found = client.head_manifest("round/trip", "v1")
    assert found == pushed.descriptor
    for reference in ("v1", pushed.digest):
        read = client.get_manifest("round/trip", reference)
        assert (read.body, read.media_type) == (pushed.body, pushed.media_type)
    assert b"".join(client.read_blob("round/trip", pushed.layers[0])) == b"layer"
    assert list(client.tags("round/trip")) == ["v1"]
    assert "round/trip" in list(client.catalog())


@pytest.mark.parametrize("whole", [True, False])
def test_large_blob_streams_from_one_registry_to_another(two_registries, monkeypatch, whole):
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) if whole else len(CONTENT) - 1)
    source, target = (Client(Endpoint(server.url)) for server in two_registries)
    large = blob(CONTENT)
    source.upload("a", large, [CONTENT])
    target.upload("b", large, source.read_blob("a", large))
    assert b"".join(target.read_blob("b", large)) == CONTENT
    assert b"".join(target.read_blob("b", large, offset=5_000_000)) == CONTENT[5_000_000:]


def test_mount_moves_nothing_and_unknown_blobs_get_an_upload(client):
    pushed = push_image(client, "mount/from", "v1", b"mounted")
    layer = pushed.layers[0]
    assert client.mount("mount/to", layer.digest, "mount/from") is None
    assert b"".join(client.read_blob("mount/to", layer)) == b"mounted"
    new = blob(b"new content")
    upload = client.mount("mount/to", new.digest, "mount/to")
    assert upload is not None
    client.upload("mount/to", new, [b"new content"], upload)
    assert client.mount("mount/to", new.digest, "mount/to") is None


def test_empty_blob_and_artifact_without_layers(client):
    for content in (b"", b"{}"):
        client.upload("odd", blob(content), [content])
    artifact = image(config=blob(b"{}", EMPTY_CONFIG), artifactType="application/x")
    assert client.put_manifest("odd", "v1", artifact).digest == artifact.digest
    assert b"".join(client.read_blob("odd", blob(b""))) == b""


def test_index_and_referrer_by_fallback_tag(client):
    children = [push_image(client, "multi", f"arch-{name}", name.encode()) for name in ("amd64", "arm64")]
    listed = index(*children)
    assert client.put_manifest("multi", listed.digest, listed).digest == listed.digest
    client.put_manifest("multi", "v1", listed)
    assert [one.digest for one in client.get_manifest("multi", "v1").children] == [one.digest for one in children]
    signature = image(subject=entry(listed.descriptor), artifactType="application/sig")
    assert not client.put_manifest("multi", signature.digest, signature).subject_noted
    assert client.referrers("multi", listed.digest) is None
    fallback = digest_tags(listed.digest)[0]
    client.put_manifest("multi", fallback, merge_index(None, [signature.referrer_entry()]))
    (found,) = client.get_manifest("multi", fallback).children
    assert (found.digest, found.artifact_type) == (signature.digest, "application/sig")


def test_absent_things(client):
    assert client.head_manifest("nobody/here", "v1") is None
    with pytest.raises(NotFound) as caught:
        list(client.tags("nobody/here"))
    assert caught.value.code == "NAME_UNKNOWN"
    with pytest.raises(
        NotFound, match="Target prod-eu: cannot read manifest nobody/here:v1: the registry answered 404"
    ):
        client.get_manifest("nobody/here", "v1")
    push_image(client, "somebody/here", "v1")
    with pytest.raises(NotFound) as caught:
        client.get_manifest("somebody/here", "v2")
    assert caught.value.code == "MANIFEST_UNKNOWN"


def test_refused_manifest_carries_the_registrys_reason(client):
    with pytest.raises(Rejected) as caught:
        client.put_manifest("refused", "v1", image(blob(b"never pushed")))
    assert caught.value.status == 400
    assert caught.value.code in ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")
    assert not caught.value.retryable


def test_many_threads_share_few_connections(registry):
    client = Client(Endpoint(registry.url, max_connections=2))
    with ThreadPoolExecutor(8) as pool:
        pushed = list(pool.map(lambda n: push_image(client, f"many/r{n}", "v1", b"%d" % n), range(24)))
        found = list(pool.map(lambda n: client.head_manifest(f"many/r{n}", "v1"), range(24)))
    assert found == [one.descriptor for one in pushed]


def test_catalog_is_paged(registry, monkeypatch):
    client = Client(Endpoint(registry.url))
    names = {f"paged/r{number}" for number in range(7)}
    for name in names:
        push_image(client, name, "v1")
    monkeypatch.setattr("sync.oci.list_api.PAGE_SIZE", 3)
    listed = list(client.catalog())
    assert names <= set(listed)
    assert len(listed) == len(set(listed))


def test_password(start_registry):
    server = start_registry(htpasswd=htpasswd("robot", "s3cret"))
    robot = Client(Endpoint(server.url), Credential("robot", "s3cret"), side="target")
    robot.ping()
    pushed = push_image(robot, "a", "v1", CONTENT)
    assert robot.head_manifest("a", "v1") == pushed.descriptor
    for stranger in (None, Credential("robot", "wrong")):
        with pytest.raises((Unauthorized, Denied)) as caught:
            Client(Endpoint(server.url), stranger).ping()
        assert "password" in str(caught.value)
        assert "wrong" not in repr(vars(caught.value))
