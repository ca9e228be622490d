"""Connections that break anywhere, answers that get lost, sides that stall or trickle: all arrives, and right."""

from dataclasses import replace

import pytest

from demo import artifacts
from sync.oci.client import Client, Endpoint
from sync.oci.errors import Unreachable
from sync.oci.manifest import Descriptor
from tests.fakes.cutting import BreakingRelay
from tests.fakes.registry import Answer, Received, Script
from tests.replication.support import lacking, push, replicate, some_image, some_index, some_layer
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("quick_backoff")

SMALL, LARGE = 3_000, 3_000_000
EDGES = ["byte 0", "byte 1", "the middle", "the last byte"]


def place(edge: str, size: int) -> int:
    """So many of `size` bytes get through: none, one, half of them, all but one."""
    return {"byte 0": 0, "byte 1": 1, "the middle": size // 2, "the last byte": size - 1}[edge]


def cut(relay: Relay, edge: str, whole: bool = False) -> Script:
    """The real answer, broken off; `whole`: the line breaks after the last byte."""

    def broken(request: Received) -> Answer:
        answer = relay.forward(request)
        return replace(answer, cut=len(answer.body) if whole else place(edge, len(answer.body)))

    return broken


def lost(relay: Relay) -> Script:
    """The registry does as it is told, but its answer never comes."""

    def swallow(request: Received) -> Answer:
        return replace(relay.forward(request), drop=True)

    return swallow


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_the_source_breaks_off_in_a_blob(size, edge, source, target, namespace):
    name = f"{namespace}/web"
    layer = some_layer(size)
    image = push(source, name, "v1", artifacts.image([layer]))
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/blobs/{layer.digest}", cut(relay, edge), relay.forward)
        assert replicate(relay.url, target, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
        assert len(relay.received("GET", f"/v2/{name}/blobs/{layer.digest}")) == 2
    assert lacking(target, name, image) == []


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("what", ["tags/list", "manifests/v1", "manifests/sha256:", "_catalog"])
def test_the_source_breaks_off_in_a_list_or_manifest(what, edge, source, target, namespace):
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    prefix = "/v2/_catalog" if what == "_catalog" else f"/v2/{name}/{what}"
    with Relay(source) as relay:
        relay.script("GET", prefix, cut(relay, edge), relay.forward)
        assert replicate(relay.url, target, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
        assert len(relay.received("GET", prefix)) > 1
    assert lacking(target, name, index) == []


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_the_line_to_the_target_breaks_in_a_blob(size, edge, source, target, namespace):
    name = f"{namespace}/web"
    layer = some_layer(size)
    image = push(source, name, "v1", artifacts.image([layer]))
    with BreakingRelay(target) as relay:
        relay.cut_bodies("PUT", f"/v2/{name}/blobs/uploads/", place(edge, len(layer.data)))
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


@pytest.mark.parametrize("edge", EDGES)
def test_the_line_to_the_target_breaks_in_a_patch(edge, source, target, namespace, monkeypatch):
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", LARGE - 1)
    name = f"{namespace}/web"
    layer = some_layer(LARGE)
    image = push(source, name, "v1", artifacts.image([layer]))
    with BreakingRelay(target) as relay:
        relay.cut_bodies("PATCH", f"/v2/{name}/blobs/uploads/", place(edge, len(layer.data)))
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_the_line_to_the_target_breaks_again_and_again(source, target, namespace):
    name = f"{namespace}/web"
    layer = some_layer(LARGE)
    image = push(source, name, "v1", artifacts.image([layer]))
    config = image.blobs[0]
    Client(Endpoint(target)).upload(name, Descriptor("", config.digest, len(config.data)), [config.data])
    with BreakingRelay(target) as relay:  # the layer is all that is sent
        relay.cut_bodies("PUT", f"/v2/{name}/blobs/uploads/", 100, 2_000_000, 0)
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
        assert len(relay.received("PUT", f"/v2/{name}/blobs/uploads/")) == 4
    assert lacking(target, name, image) == []


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("reference", ["v1", "sha256:"])
def test_the_line_to_the_target_breaks_in_a_manifest(reference, edge, source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    size = len(index.body) if reference == "v1" else min(len(child.body) for child in index.children)
    with BreakingRelay(target) as relay:
        relay.cut_bodies("PUT", f"/v2/{name}/manifests/{reference}", place(edge, size))
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, index) == []
    assert judge.digest(target, f"{name}:v1") == index.digest


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "blobs/uploads/"), ("PUT", "blobs/uploads/"), ("PUT", "manifests/v1"), ("GET", "tags/list")],
)
def test_an_answer_of_the_target_is_lost(method, path, size, source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", artifacts.image([some_layer(size)]))
    with Relay(target) as relay:
        relay.script(method, f"/v2/{name}/{path}", lost(relay), relay.forward)
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []
    assert judge.digest(target, f"{name}:v1") == image.digest


def test_a_line_that_breaks_after_the_last_byte_costs_nothing(source, target, namespace):
    name = f"{namespace}/web"
    layer = some_layer(LARGE)
    push(source, name, "v1", artifacts.image([layer]))
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/blobs/{layer.digest}", cut(relay, "", whole=True))
        ran = replicate(relay.url, target, source_namespace=namespace)
        assert len(relay.received("GET", f"/v2/{name}/blobs/{layer.digest}")) == 1
    assert ran.outcomes == {f"{name}:v1": "copied"}


@pytest.mark.parametrize("chunked", [False, True], ids=["length told", "length not told"])
def test_a_source_that_trickles_longer_than_the_time_limit(chunked, source, target, namespace):
    name = f"{namespace}/web"
    layer = some_layer(LARGE)
    image = push(source, name, "v1", artifacts.image([layer]))
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/blobs/{layer.digest}", Answer(body=layer.data, pieces=8, chunked=chunked))
        ran = replicate(relay.url, target, source_namespace=namespace, read_timeout=0.5)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


@pytest.mark.parametrize(
    ("side", "method", "path"),
    [
        ("source", "GET", "blobs/"),
        ("source", "GET", "manifests/"),
        ("target", "POST", "blobs/uploads/"),
        ("target", "PUT", "blobs/uploads/"),
        ("target", "PUT", "manifests/v1"),
    ],
)
def test_a_side_that_stalls_once(side, method, path, source, target, namespace):
    name = f"{namespace}/web"
    image = push(source, name, "v1", artifacts.image([some_layer(LARGE)]))
    with Relay(source) as from_, Relay(target) as to:
        relay = from_ if side == "source" else to
        relay.script(method, f"/v2/{name}/{path}", Answer(wait=True), relay.forward)
        ran = replicate(from_.url, to.url, source_namespace=namespace, read_timeout=0.5)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_a_target_that_stalls_for_good_fails_what_it_touches_with_a_reason(source, target, namespace):
    name = f"{namespace}/web"
    for tag in ("stuck", "v1"):
        push(source, name, tag, some_image())
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/manifests/stuck", Answer(wait=True))
        ran = replicate(source, relay.url, source_namespace=namespace, read_timeout=0.3)
    assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:stuck": "failed"}
    error = ran.error(f"{name}:stuck")
    assert isinstance(error, Unreachable)
    assert (error.side, error.operation) == ("target", f"write manifest {name}:stuck")
    assert "stopped answering" in str(error)
