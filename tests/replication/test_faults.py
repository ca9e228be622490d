"""One bad resource fails, says why, and does not stop the others."""

import json
import time
from hashlib import sha256

import pytest
import requests

from demo import artifacts
from demo.artifacts import Blob
from sync.replication.events import BytesMoved, ResourceDone
from sync.replication.work import Limits
from tests.fakes.registry import Answer
from tests.replication import support
from tests.replication.support import push, replicate, some_image
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("quick_backoff")

SCHEMA_1 = b'{"schemaVersion": 1, "name": "web", "tag": "bad", "fsLayers": [], "history": [], "signatures": []}'


def manifest(body, media_type=artifacts.OCI_MANIFEST):
    digest = f"sha256:{sha256(body).hexdigest()}"
    return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, body), digest


@pytest.mark.parametrize(
    ("body", "media_type", "told", "hint"),
    [
        (SCHEMA_1, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1", "Push it again"),
        (b"this is not JSON", artifacts.OCI_MANIFEST, "not a JSON object", "Push this tag"),
        (json.dumps({"pad": "x" * 20_000}).encode(), artifacts.OCI_MANIFEST, "larger than 10000 bytes", "limit"),
        (b'{"mediaType": "application/x.y+json"}', "application/x.y+json", "application/x.y+json", "current tool"),
    ],
)
@pytest.mark.parametrize("types", [{}, {"others": False}], ids=["all types", "images and charts"])
def test_a_manifest_that_cannot_be_copied(types, body, media_type, told, hint, source, target, namespace, judge):
    name = f"{namespace}/web"
    for tag in ("bad", "good"):
        push(source, name, tag, some_image())
    answer, digest = manifest(body, media_type)
    with Relay(source) as relay:
        for method in ("HEAD", "GET"):
            relay.script(method, f"/v2/{name}/manifests/bad", answer)
            relay.script(method, f"/v2/{name}/manifests/{digest}", answer)
        ran = replicate(relay.url, target, source_namespace=namespace, manifest_limit=10_000, **types)
    assert ran.outcomes == {f"{name}:good": "copied", f"{name}:bad": "failed"}
    error = ran.error(f"{name}:bad")
    assert (error.side, error.operation) == ("source", f"read manifest {name}:bad")
    assert told in error.problem
    assert hint in error.hint
    assert not error.retryable
    assert judge.digest(target, f"{name}:bad") == ""


def test_a_layer_that_the_source_lost(source, target, namespace, judge):
    name = f"{namespace}/web"
    broken = push(source, name, "broken", some_image())
    push(source, name, "whole", some_image())
    lost = broken.blobs[-1].digest
    assert requests.delete(f"{source}/v2/{name}/blobs/{lost}", timeout=10).status_code == 202
    ran = replicate(source, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:whole": "copied", f"{name}:broken": "failed"}
    error = ran.error(f"{name}:broken")
    assert (error.side, error.operation, error.status) == ("source", f"read blob {name}@{lost}", 404)
    assert error.code == "BLOB_UNKNOWN"
    assert error.hint
    assert judge.digest(target, f"{name}:broken") == ""
    assert judge.digest(target, f"{name}:whole") != ""


def test_a_child_that_the_source_lost_fails_its_index(source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v1", support.some_index())
    lost = index.children[1].digest
    assert requests.delete(f"{source}/v2/{name}/manifests/{lost}", timeout=10).status_code == 202
    error = replicate(source, target, source_namespace=namespace).error(f"{name}:v1")
    assert (error.side, error.operation, error.status) == (
        "source",
        f"read manifest {name}@{lost} for linux/arm64",
        404,
    )
    assert judge.digest(target, f"{name}:v1") == ""


@pytest.mark.parametrize("size", [2000, 3_000_000], ids=["small", "large"])
def test_bytes_that_are_not_what_their_digest_says_are_never_published(size, source, target, namespace, judge):
    name = f"{namespace}/web"
    layer = support.some_layer(size)
    push(source, name, "v1", artifacts.image([layer]))
    forged = bytes([layer.data[0] ^ 1]) + layer.data[1:]
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/blobs/{layer.digest}", Answer(200, body=forged))
        ran = replicate(relay.url, target, source_namespace=namespace)
    error = ran.error(f"{name}:v1")
    assert (error.side, error.operation) == ("source", f"read blob {name}@{layer.digest}")
    assert "digest" in error.problem
    assert judge.digest(target, f"{name}:v1") == ""
    assert requests.head(f"{target}/v2/{name}/blobs/{layer.digest}", timeout=10).status_code == 404


def test_a_blob_whose_upload_broke_is_sent_once_more(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", artifacts.image([support.some_layer(3_000_000)]))
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/blobs/uploads/", Answer(503), relay.forward)
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert judge.digest(target, f"{name}:v1") == image.digest


def test_who_waits_for_a_blob_tries_itself_when_the_first_one_fails(source, target, namespace):
    """Two repositories share a layer; in one of them the source has lost it."""
    shared = support.some_layer(200_000)
    names = [f"{namespace}/{name}" for name in ("a", "b")]
    for name in names:
        push(source, name, "v1", artifacts.image([shared]))
    assert requests.delete(f"{source}/v2/{names[0]}/blobs/{shared.digest}", timeout=10).status_code == 202
    ran = replicate(source, target, source_namespace=namespace)
    assert ran.outcomes[f"{names[1]}:v1"] == "copied"


def test_a_target_that_refuses_a_tag(source, target, namespace, judge):
    name = f"{namespace}/web"
    for tag in ("immutable", "v1"):
        push(source, name, tag, some_image())
    body = b'{"errors":[{"code":"DENIED","message":"tag is immutable"}]}'
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/manifests/immutable", Answer(412, body=body))
        ran = replicate(source, relay.url, source_namespace=namespace)
        assert len(relay.received("PUT", f"/v2/{name}/manifests/immutable")) == 1
    error = ran.error(f"{name}:immutable")
    assert (error.side, error.status, error.code) == ("target", 412, "DENIED")
    assert error.operation == f"write manifest {name}:immutable"
    assert "tag is immutable" in str(error)
    assert ran.outcomes[f"{name}:v1"] == "copied"


def test_a_repository_whose_tags_cannot_be_listed_fails_alone(source, target, namespace):
    for name in ("closed", "open"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/closed/tags/list", Answer(403))
        ran = replicate(relay.url, target, source_namespace=namespace)
    assert ran.outcomes == {f"{namespace}/open:v1": "copied", f"{namespace}/closed:": "failed"}
    error = ran.error(f"{namespace}/closed:")
    assert (error.side, error.operation, error.status) == ("source", f"list the tags of {namespace}/closed", 403)


def test_a_name_too_long_for_the_target_is_said_before_anything_is_copied(source, target, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    ran = replicate(source, target, source_namespace=namespace, target_namespace="/".join(["a" * 100] * 3))
    error = ran.error(f"{namespace}/web:v1")
    assert "longer than 255 characters" in str(error)
    assert "unexpected" not in str(error)
    assert ran.moved_bytes == 0


def test_a_target_that_is_down_fails_each_resource_with_its_side(source, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as gone:
        pass
    error = replicate(source, gone.url, source_namespace=namespace).error(f"{namespace}/web:v1")
    assert error.side == "target"
    assert error.retryable
    assert "refused" in str(error)


def test_stop_between_resources_ends_soon_and_leaves_whole_tags_only(source, target, namespace, judge, monkeypatch):
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)
    name = f"{namespace}/web"
    pushed = {f"v{number}": push(source, name, f"v{number}", some_image()) for number in range(30)}
    ran = replicate(
        source,
        target,
        source_namespace=namespace,
        limits=Limits(resources_at_once=2),
        should_stop=lambda events: any(isinstance(event, ResourceDone) for event in events),
    )
    assert ran.interrupted == {name}
    assert 0 < len(ran.outcomes) < 30
    there = {tag: judge.digest(target, f"{name}:{tag}") for tag in pushed}
    assert {tag for tag, digest in there.items() if digest} == {key.rpartition(":")[2] for key in ran.outcomes}
    assert all(digest in ("", pushed[tag].digest) for tag, digest in there.items())


def test_stop_in_the_middle_of_a_blob(start_registry, tmp_path, target, namespace, judge):
    name = f"{namespace}/web"
    layer = Blob(b"x" * 96_000_000)
    source = start_registry(data_dir=tmp_path).url
    push(source, name, "v1", artifacts.image([layer]))
    began = time.monotonic()
    ran = replicate(
        source,
        target,
        source_namespace=namespace,
        should_stop=lambda events: any(isinstance(event, BytesMoved) for event in events),
    )
    assert time.monotonic() - began < 5
    assert ran.interrupted == {name}
    assert 0 < ran.moved_bytes < len(layer.data)
    assert judge.digest(target, f"{name}:v1") == ""
