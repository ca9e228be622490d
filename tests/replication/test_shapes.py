"""Whatever a manifest may look like: it arrives byte for byte, with all it stands on."""

import gzip
import json
from collections.abc import Mapping

import pytest
import requests

from demo import artifacts
from demo.artifacts import OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Artifact, Blob
from tests.fakes.registry import Answer
from tests.replication.support import lacking, made, push, replicate, some_image, some_index, some_layer
from tests.support import Relay

TAR = "application/vnd.oci.image.layer.v1.tar"
CONFIG = Blob(b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
EMPTY = Blob(b"{}")


def manifest(*layers: tuple[Blob, str], **more: object) -> Artifact:
    """An OCI image with layers of the given media types."""
    described = [blob.descriptor(media_type) for blob, media_type in layers]
    config = CONFIG.descriptor(OCI_CONFIG)
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": described, **more}
    return made(body, CONFIG, *(blob for blob, _ in layers))


def index_of(*entries: tuple[Artifact, Mapping[str, object]], **more: object) -> Artifact:
    """An index whose entries say of their child what is given, and no more."""
    listed = [
        {"mediaType": child.media_type, "digest": child.digest, "size": len(child.body), **said}
        for child, said in entries
    ]
    body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed, **more}
    return made(body, children=[child for child, _ in entries], media_type=OCI_INDEX)


def repeated_layers() -> Artifact:
    layer, nothing, gzipped_nothing = some_layer(), Blob(b""), Blob(gzip.compress(b"", mtime=0))
    return manifest(*[(layer, TAR)] * 3, (nothing, TAR), (gzipped_nothing, f"{TAR}+gzip"))


def empty_artifact(*layers: Blob) -> Artifact:
    body = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.example.note",
        "config": EMPTY.descriptor(OCI_EMPTY, data="e30="), "layers": [one.descriptor(OCI_EMPTY) for one in layers],
        "annotations": {"note": "grüße"},
    }  # fmt: skip
    return made(body, EMPTY, *layers)


def odd_bytes() -> Artifact:
    config = json.dumps(CONFIG.descriptor(OCI_CONFIG)).encode()
    body = (
        b'\t{ "odd": 1,\r\n "schemaVersion":2,"odd" : [2.50, 1e3], "config":'
        + config
        + b',"layers" :[ ]\n,"x":{}} \n\n'
    )
    return made(body, CONFIG)


def without_type(artifact: Artifact) -> Artifact:
    body = {key: value for key, value in json.loads(artifact.body).items() if key != "mediaType"}
    return made(body, *artifact.blobs, children=artifact.children, media_type=artifact.media_type)


def odd_platforms() -> Artifact:
    twins = [some_image() for _ in range(2)]
    linux = {"platform": {"os": "linux", "architecture": "amd64"}}
    windows = {"platform": {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"}}
    arm = {"platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}
    return index_of(
        *[(twin, linux) for twin in twins], (twins[0], linux), (some_image(), windows), (some_image(), arm),
        (some_image(), {}), (some_image(), {"platform": {}}),
    )  # fmt: skip


def with_attestation() -> Artifact:
    """As buildkit writes it: the attestation is a child of no platform that names what it attests."""
    image = some_image()
    statement = Blob(b'{"_type":"https://in-toto.io/Statement/v0.1"}')
    attestation = manifest((statement, "application/vnd.in-toto+json"))
    named = {"vnd.docker.reference.digest": image.digest, "vnd.docker.reference.type": "attestation-manifest"}
    about = {"platform": {"os": "unknown", "architecture": "unknown"}, "annotations": named}
    return index_of((image, image.about), (attestation, about))


SHAPES = {
    "zstd layers": lambda: manifest((Blob(b"\x28\xb5\x2f\xfd" + some_layer().data), f"{TAR}+zstd")),
    "a layer that is not compressed": lambda: manifest((some_layer(), TAR)),
    "a layer with a wrong label": lambda: manifest((Blob(b"no archive at all"), f"{TAR}+gzip")),
    "layers of unknown types": lambda: manifest(
        (some_layer(), "application/x.y"), (some_layer(), "x/y; a=b"), (some_layer(), "")
    ),
    "one layer three times, one without bytes": repeated_layers,
    "an artifact with an empty config": lambda: empty_artifact(EMPTY),
    "an artifact without layers": lambda: empty_artifact(),
    "odd bytes": odd_bytes,
    "a manifest that names no type": lambda: without_type(some_image()),
    "an index that names no type": lambda: without_type(some_index()),
    "an index of odd platforms": odd_platforms,
    "an index with an attestation": with_attestation,
    "an index of artifacts": lambda: index_of((empty_artifact(), {"artifactType": "x/y"}), artifactType="x/y"),
    "an index without entries": index_of,
    "three indexes deep": lambda: artifacts.index([artifacts.index([some_index(), some_image()]), some_index()]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_arrives_byte_for_byte(shape, source, target, namespace, judge):
    name = f"{namespace}/web"
    artifact = push(source, name, "v1", SHAPES[shape]())
    for outcome in ("copied", "unchanged"):  # a repository without layers is not in Debian's catalog
        ran = replicate(source, target, source_namespace=namespace, repositories="web")
        assert ran.outcomes == {f"{name}:v1": outcome}
    assert judge.raw(target, f"{name}:v1") == artifact.body
    assert lacking(target, name, artifact) == []


def test_a_repeated_layer_is_uploaded_once(source, target, namespace):
    push(source, f"{namespace}/web", "v1", repeated_layers())
    with Relay(target) as relay:
        replicate(source, relay.url, source_namespace=namespace)
        ended = [one.target.partition("digest=")[2] for one in relay.received("PUT") if "digest=" in one.target]
    assert len(ended) == len(set(ended)) == 4


@pytest.mark.parametrize("told", ["text/plain", "application/json", f"{OCI_MANIFEST}; charset=utf-8", ""])
@pytest.mark.parametrize("make", [some_image, some_index], ids=["image", "index"])
def test_a_wrong_content_type_of_the_source_is_put_right(make, told, source, target, namespace, judge):
    name = f"{namespace}/web"
    artifact = push(source, name, "v1", without_type(make()))
    with Relay(source) as from_, Relay(target) as to:

        def mislabelled(request):
            answer = from_.forward(request)
            return Answer(answer.status, {**answer.headers, "Content-Type": told}, answer.body)

        from_.script("GET", f"/v2/{name}/manifests/", mislabelled)
        replicate(from_.url, to.url, source_namespace=namespace)
        (written,) = to.received("PUT", f"/v2/{name}/manifests/v1")
    assert written.headers["Content-Type"] == artifact.media_type
    assert judge.raw(target, f"{name}:v1") == artifact.body


def test_indexes_nested_without_end_fail_alone(source, target, namespace):
    name = f"{namespace}/web"
    deep = some_image()
    for _ in range(12):
        deep = artifacts.index([deep])
    push(source, name, "deep", deep)
    push(source, name, "v1", some_image())
    ran = replicate(source, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:deep": "failed"}
    assert "nested more than 8 deep" in str(ran.error(f"{name}:deep"))


@pytest.mark.parametrize("lost", [0, -1], ids=["platform", "attestation"])
def test_a_sparse_index_fails_and_names_what_is_missing(lost, source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v1", with_attestation())
    missing = index.children[lost].digest
    assert requests.delete(f"{source}/v2/{name}/manifests/{missing}", timeout=10).status_code == 202
    push(source, name, "v2", some_image())
    ran = replicate(source, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "failed", f"{name}:v2": "copied"}
    assert missing in str(ran.error(f"{name}:v1"))
    assert judge.digest(target, f"{name}:v1") == ""


def test_a_sparse_index_names_the_platform_that_is_missing(source, target, namespace):
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    missing = index.children[1]
    requests.delete(f"{source}/v2/{name}/manifests/{missing.digest}", timeout=10).raise_for_status()
    error = replicate(source, target, source_namespace=namespace).error(f"{name}:v1")
    assert "linux/arm64" in str(error)


@pytest.mark.parametrize("digest", ["sha256:../../../v2/_catalog", "sha256:ABCDEF", "md5:0cc175b9c0f1b6a8", ""])
def test_malformed_digests_never_get_into_an_address(digest, source, target, namespace):
    name = f"{namespace}/web"
    push(source, name, "v1", some_image())
    body = json.dumps({"schemaVersion": 2, "layers": [{"mediaType": TAR, "digest": digest, "size": 1}]}).encode()
    with Relay(source) as relay:
        answer = Answer(200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": artifacts.digest_of(body)}, body)
        for method in ("HEAD", "GET"):
            relay.script(method, f"/v2/{name}/manifests/", answer)
        ran = replicate(relay.url, target, source_namespace=namespace)
        assert not any("/blobs/" in one.target or ".." in one.target for one in relay.requests)
    assert ran.outcomes == {f"{name}:v1": "failed"}
    assert "no usable digest" in str(ran.error(f"{name}:v1"))


def test_a_manifest_too_large_for_the_target_is_said_by_it(source, target, namespace):
    name = f"{namespace}/web"
    large = manifest((some_layer(), TAR), annotations={"pad": "x" * 3_000_000})
    push(source, name, "large", large)
    with Relay(target) as relay:
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:large": "copied"}
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{namespace}/b/web/manifests/", Answer(413))
        ran = replicate(source, relay.url, source_namespace=namespace, target_namespace=f"{namespace}/b")
        assert len(relay.received("PUT", f"/v2/{namespace}/b/web/manifests/")) == 1
    error = ran.error(f"{name}:large")
    assert (error.side, error.status, error.retryable) == ("target", 413, False)
