"""The engine at a target whose upload sessions can be resumed, or that wants blobs in steps."""

import pytest

from demo import artifacts
from demo.artifacts import Artifact
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, Received
from tests.fakes.uploads import ResumingRegistry
from tests.replication.support import push, replicate, some_layer
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("quick_backoff")

LARGE = 3_000_000
MEBIBYTE = 1024 * 1024


@pytest.fixture
def image(source, namespace) -> Artifact:
    return push(source, f"{namespace}/web", "v1", artifacts.image([some_layer(LARGE)]))


def resuming(namespace: str, **options: int) -> ResumingRegistry:
    registry = ResumingRegistry(f"{namespace}/web", **options)

    def store(request: Received) -> Answer:
        return Answer(201, {"Docker-Content-Digest": digest_of(request.body)})

    registry.script("PUT", f"/v2/{namespace}/web/manifests/", store)
    return registry


def test_a_patch_that_breaks_goes_on_where_it_broke(source, namespace, image, monkeypatch):
    """No byte that the target has goes again, and the source is read from about there (P-05)."""
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", LARGE - 1)
    monkeypatch.setattr("sync.oci.blob_reading.MARK_EVERY", MEBIBYTE)
    layer = image.blobs[-1]
    with Relay(source) as from_, resuming(namespace) as to:
        to.cut_bodies("PATCH", to.uploads, 2_500_000)
        ran = replicate(from_.url, to.url, source_namespace=namespace)
        assert to.blobs == {blob.digest: blob.data for blob in image.blobs}
        assert sum(len(one.body) for one in to.received("PATCH")) == len(layer.data)
        first, second = from_.received("GET", f"/v2/{namespace}/web/blobs/{layer.digest}")
    assert (first.headers["Range"], second.headers["Range"]) == (None, f"bytes={2 * MEBIBYTE}-")
    assert ran.outcomes == {f"{namespace}/web:v1": "copied"}


def test_a_blob_that_is_refused_as_a_whole_goes_in_steps(source, namespace, image, monkeypatch):
    monkeypatch.setattr("sync.oci.blob_sending.STEP", MEBIBYTE)
    with resuming(namespace, most=MEBIBYTE) as to:
        ran = replicate(source, to.url, source_namespace=namespace)
        assert ran.outcomes == {f"{namespace}/web:v1": "copied"}
        assert to.blobs == {blob.digest: blob.data for blob in image.blobs}
        assert to.sessions == {}


def test_wrong_bytes_are_asked_for_once_more_and_no_more(source, namespace, image):
    """They were changed on their way, perhaps; if they stay so, asking again and again does not help (P-37)."""
    layer = image.blobs[-1]
    path = f"/v2/{namespace}/web/blobs/{layer.digest}"
    with Relay(source) as from_, resuming(namespace) as to:
        from_.script("GET", path, Answer(body=bytes([layer.data[0] ^ 1]) + layer.data[1:]))
        ran = replicate(from_.url, to.url, source_namespace=namespace)
        assert len(from_.received("GET", path)) == 2
        assert layer.digest not in to.blobs
    assert ran.outcomes == {f"{namespace}/web:v1": "failed"}
