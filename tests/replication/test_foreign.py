"""Layers that are kept elsewhere: their manifest travels, they do not (P-48)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import artifacts
from demo.artifacts import OCI_CONFIG, OCI_MANIFEST, Artifact, Blob
from demo.registries import RegistryServer
from tests.fakes.registry import Answer
from tests.replication.support import lacking, made, push, replicate, some_image, some_layer
from tests.replication.test_shapes import CONFIG, TAR
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("quick_backoff")

MAKER = ["https://maker.example/layer"]


class AllowingRegistry(RegistryServer):
    """Takes manifests whose layers are kept elsewhere; by itself distribution does not."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW": '["^https://"]'}


@pytest.fixture(scope="module")
def allowing(registry_binary: Path) -> Iterator[str]:
    with AllowingRegistry(registry_binary) as server:
        yield server.url


FOREIGN = {
    "docker": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "oci": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
}


def with_foreign_layer(kind: str) -> tuple[Artifact, Blob]:
    layer, foreign = some_layer(), Blob(b"kept by its maker")
    media_type = artifacts.DOCKER_MANIFEST if kind == "docker" else OCI_MANIFEST
    config_type = artifacts.DOCKER_CONFIG if kind == "docker" else OCI_CONFIG
    layers = [layer.descriptor(f"{TAR}+gzip"), foreign.descriptor(FOREIGN[kind], urls=MAKER)]
    body = {"schemaVersion": 2, "mediaType": media_type, "config": CONFIG.descriptor(config_type), "layers": layers}
    return made(body, CONFIG, layer, media_type=media_type), foreign


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_layers_stay_where_they_are_and_the_manifest_as_it_is(kind, allowing, namespace):
    name, there = f"{namespace}/web", f"mirror-{namespace}"
    artifact, foreign = with_foreign_layer(kind)
    push(allowing, name, "v1", artifact)
    with Relay(allowing) as from_, Relay(allowing) as to:
        ran = replicate(from_.url, to.url, source_namespace=namespace, target_namespace=there)
        assert ran.outcomes == {f"{name}:v1": "copied"}
        assert to.received("PUT", f"/v2/{there}/web/manifests/v1")[0].body == artifact.body
        assert not any(foreign.digest in one.target for one in (*from_.requests, *to.requests))
    assert lacking(allowing, f"{there}/web", artifact) == []
    ran = replicate(allowing, allowing, source_namespace=namespace, target_namespace=there)
    assert ran.outcomes == {f"{name}:v1": "unchanged"}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_target_that_takes_no_foreign_layers_is_explained_and_not_waited_for(kind, allowing, target, namespace):
    """The real one answers 500 "unknown error", as if waiting could help."""
    name = f"{namespace}/web"
    push(allowing, name, "foreign", with_foreign_layer(kind)[0])
    push(allowing, name, "v1", some_image())
    ran = replicate(allowing, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:foreign": "failed"}
    error = ran.error(f"{name}:foreign")
    assert (error.side, error.operation) == ("target", f"write manifest {name}:foreign")
    assert "layers that are kept elsewhere" in error.hint
    assert not error.retryable


def test_a_target_that_refuses_foreign_layers_is_quoted(allowing, target, namespace):
    name = f"{namespace}/web"
    push(allowing, name, "foreign", with_foreign_layer("docker")[0])
    push(allowing, name, "v1", some_image())
    words = b'{"errors":[{"code":"MANIFEST_INVALID","message":"invalid URL on layer"}]}'
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/manifests/foreign", Answer(400, body=words))
        ran = replicate(allowing, relay.url, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:foreign": "failed"}
    assert "invalid URL on layer" in str(ran.error(f"{name}:foreign"))
    assert "set to allow their addresses" in ran.error(f"{name}:foreign").hint


def test_the_same_refusal_of_other_manifests_says_nothing_of_foreign_layers(source, target, namespace):
    name = f"{namespace}/web"
    push(source, name, "v1", some_image())
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/manifests/v1", Answer(500))
        error = replicate(source, relay.url, source_namespace=namespace).error(f"{name}:v1")
    assert "elsewhere" not in error.hint
    assert error.retryable


def test_any_other_fault_of_the_target_may_be_over_soon(allowing, target, namespace):
    """Also for a manifest with foreign layers: a proxy before the registry says 500, too."""
    name = f"{namespace}/web"
    push(allowing, name, "foreign", with_foreign_layer("docker")[0])
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/manifests/foreign", Answer(500, body=b"upstream"))
        error = replicate(allowing, relay.url, source_namespace=namespace).error(f"{name}:foreign")
    assert "layers that are kept elsewhere" in error.hint
    assert error.retryable
