import json

import pytest

from sync.oci.errors import DigestMismatch, InvalidManifest, UnsupportedManifest
from sync.oci.manifest import (
    DOCKER_IMAGE_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    HELM_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Kind,
    Manifest,
    merge_index,
)
from sync.oci.reference import digest_of
from tests.oci.artifacts import EMPTY_CONFIG, blob, document, entry, image, index


def test_bytes_are_kept_as_they_are():
    body = (
        b'{ "schemaVersion":2,\n\t"config" : ' + document(entry(blob(b"{}"))) + b', "layers":[], "odd":1, "odd":2 }\n'
    )
    manifest = Manifest.parse(body)
    assert manifest.body is body
    assert manifest.digest == digest_of(body)


@pytest.mark.parametrize(
    ("content", "header", "expected"),
    [
        ({"mediaType": DOCKER_MANIFEST, "config": None}, OCI_MANIFEST, DOCKER_MANIFEST),
        ({"config": None}, f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
        ({"config": None}, "text/plain", OCI_MANIFEST),
        ({"layers": []}, DOCKER_MANIFEST, DOCKER_MANIFEST),
        ({"manifests": []}, "application/json", OCI_INDEX),
        ({"manifests": []}, DOCKER_LIST, DOCKER_LIST),
        ({"manifests": []}, OCI_MANIFEST, OCI_INDEX),
    ],
)
def test_type_comes_from_the_content_before_the_header(content, header, expected):
    assert Manifest.parse(document({"schemaVersion": 2, **content}), header).media_type == expected


@pytest.mark.parametrize(
    "header", ["application/vnd.docker.distribution.manifest.v1+prettyjws", "", "application/json"]
)
def test_schema_1_is_refused_plainly_whatever_its_digest(header):
    body = document({"schemaVersion": 1, "name": "a", "fsLayers": []})
    with pytest.raises(UnsupportedManifest, match="schema 1"):
        Manifest.parse(body, header, digest_of(b"the payload"))


BAD_DIGEST = {"mediaType": "x", "digest": "sha256:../../../etc", "size": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", b"\xff\xfe", b'{"config":' * 100_000,
        document({"schemaVersion": 2, "config": BAD_DIGEST}),
        document({"schemaVersion": 2, "layers": [BAD_DIGEST]}),
        document({"schemaVersion": 2, "manifests": [BAD_DIGEST]}),
        document({"schemaVersion": 2, "layers": [], "subject": BAD_DIGEST}),
        document({"schemaVersion": 2, "layers": {"a": 1}}),
        document({"schemaVersion": 2, "layers": [7]}),
        document({"schemaVersion": 2, "layers": [entry(blob(b"")) | {"size": -1}]}),
        document({"schemaVersion": 2, "layers": [entry(blob(b"")) | {"size": True}]}),
        document({"schemaVersion": 2, "layers": [], "artifactType": 5}),
        document({"schemaVersion": 2, "layers": [], "manifests": []}),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(body):
    with pytest.raises(InvalidManifest):
        Manifest.parse(body)


def test_unknown_types_are_refused():
    with pytest.raises(UnsupportedManifest):
        Manifest.parse(document({"schemaVersion": 2, "mediaType": "application/x", "layers": []}))


def test_digest_is_checked():
    with pytest.raises(DigestMismatch) as caught:
        Manifest.parse(image().body, expected_digest=digest_of(b"other"))
    assert caught.value.retryable
    sha512 = digest_of(image().body, "sha512:" + "0" * 128)
    assert Manifest.parse(image().body, expected_digest=sha512).digest == sha512


def test_blobs_are_listed_once_and_foreign_layers_left_out():
    layer = blob(b"layer")
    foreign = blob(b"windows", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    manifest = image(layer, layer, foreign)
    body = json.loads(manifest.body)
    body["layers"].append(entry(blob(b"elsewhere"), urls=["https://example.com/x"]))
    manifest = Manifest.parse(document(body))
    assert manifest.config
    assert [one.digest for one in manifest.blobs] == [manifest.config.digest, layer.digest]
    assert len(manifest.layers) == 4


def test_index_lists_children_whatever_their_platform():
    child = entry(image().descriptor, platform={"os": "linux", "architecture": "arm64", "variant": "v8"})
    unknown = entry(image(annotations={"a": "b"}).descriptor)
    listed = Manifest.parse(document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child, unknown]}))
    assert [one.digest for one in listed.children] == [child["digest"], unknown["digest"]]
    assert listed.blobs == ()


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        (image(), Kind.IMAGE),
        (image(config=blob(b"{}", DOCKER_IMAGE_CONFIG)), Kind.IMAGE),
        (image(config=blob(b"{}", HELM_CONFIG)), Kind.CHART),
        (image(config=blob(b"{}", EMPTY_CONFIG), artifactType="application/x"), Kind.OTHER),
        (image(artifactType="application/x"), Kind.OTHER),
        (image(config=blob(b"{}", "application/x")), Kind.OTHER),
        (index(image()), None),
        (index(image(), artifactType="application/x"), Kind.OTHER),
        (index(image(artifactType="application/x")), None),
        (index(), Kind.OTHER),
    ],
)
def test_kinds(manifest, kind):
    if manifest.is_index and manifest.children and not manifest.artifact_type:
        assert manifest.kind == kind
        body = json.loads(manifest.body)
        body["manifests"][0]["artifactType"] = "application/x"
        assert Manifest.parse(document(body)).kind == Kind.OTHER
    else:
        assert manifest.kind == kind


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ({"platform": {"os": "linux", "architecture": "arm64"}}, Kind.IMAGE),
        ({"platform": {"os": "unknown", "architecture": "unknown"}}, None),
        ({"platform": {}}, None),
        ({"platform": {"os": "linux", "architecture": "arm64"}, "artifactType": "application/x"}, None),
    ],
)
def test_an_index_whose_first_child_is_for_a_platform_is_an_image_and_no_child_is_asked(first, kind):
    children = [entry(image().descriptor, **first), entry(image(annotations={"a": "b"}).descriptor)]
    listed = document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
    assert Manifest.parse(listed).kind == kind


def test_fallback_index_grows_and_keeps_what_is_there():
    subject = image()
    first = image(subject=entry(subject.descriptor), artifactType="application/sig", annotations={"a": "b"})
    second = image(blob(b"x"), subject=entry(subject.descriptor))
    assert first.subject == Descriptor(subject.media_type, subject.digest, subject.size)
    one = merge_index(None, [first.referrer_entry()])
    both = merge_index(one, [first.referrer_entry(), second.referrer_entry()])
    assert [child.digest for child in both.children] == [first.digest, second.digest]
    assert json.loads(both.body)["manifests"][0]["annotations"] == {"a": "b"}
    assert both.children[0].artifact_type == "application/sig"
    assert both.children[1].artifact_type == "application/vnd.oci.image.config.v1+json"
    assert merge_index(both, [second.referrer_entry()]) is both
