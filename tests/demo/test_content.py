"""The sample content: always the same, of all kinds, and whole once it is pushed."""

import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from demo import artifacts
from demo.artifacts import Artifact
from demo.content import NEXT_IMAGE, Tagged, build, push, push_next
from demo.registries import RegistryServer
from sync.oci.client import Client
from sync.oci.places import Endpoint


@pytest.fixture(scope="module")
def content() -> list[Tagged]:
    return list(build())


@pytest.fixture(scope="module")
def filled(registry_binary: Path, content: list[Tagged]):
    with RegistryServer(registry_binary) as registry:
        push(content, registry.url)
        yield registry


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(content):
    again = [(item.repository, item.tag, item.artifact.digest) for item in build()]
    assert again == [(item.repository, item.tag, item.artifact.digest) for item in content]
    other = {item.artifact.digest for item in build(seed=1) if item.repository == "hello"}
    assert other.isdisjoint(item.artifact.digest for item in content)


def test_what_a_new_user_is_promised_is_there(content):
    repositories = {item.repository for item in content}
    namespaces = {repository.split("/")[0] for repository in repositories if "/" in repository}
    assert namespaces == {"prod", "team-a"}
    assert sum("/" in repository for repository in repositories) >= 12
    assert any("/" not in repository for repository in repositories)
    assert 40 <= sum(bool(item.tag) for item in content) <= 60
    kinds = {item.artifact.media_type for item in content}
    assert kinds == {
        artifacts.OCI_MANIFEST,
        artifacts.OCI_INDEX,
        artifacts.DOCKER_MANIFEST,
        artifacts.DOCKER_LIST,
    }


def test_layers_are_shared_across_repositories(content):
    users: dict[str, set[str]] = defaultdict(set)
    for item in content:
        for digest in _blobs(item.artifact):
            users[digest].add(item.repository)
    assert max(len(repositories) for repositories in users.values()) >= 8


def test_one_layer_is_large_enough_to_watch(content):
    sizes = [size for item in content for size in _blobs(item.artifact).values()]
    assert max(sizes) >= 8 * 1024 * 1024


def test_another_program_can_take_every_tag_with_all_its_platforms(filled, content, skopeo, tmp_path):
    for item in content:
        if item.tag in ("latest", "1.0.0", "v1.1.0") and item.repository.startswith("prod"):
            source = f"docker://{filled.host}/{item.repository}:{item.tag}"
            target = tmp_path / item.artifact.digest
            command = [skopeo, "copy", "--all", "--quiet", "--src-tls-verify=false", source, f"dir:{target}"]
            subprocess.run(command, check=True)
            assert (target / "manifest.json").read_bytes() == item.artifact.body


def test_a_signature_is_found_from_its_image(filled, content):
    client = Client(Endpoint(url=filled.url))
    signed = next(item for item in content if item.repository == "prod/tools/backup")
    index = client.get_manifest("prod/tools/backup", artifacts.fallback_tag(signed.artifact))
    (entry,) = json.loads(index.body)["manifests"]
    signature = json.loads(client.get_manifest("prod/tools/backup", entry["digest"]).body)
    assert signature["subject"]["digest"] == signed.artifact.digest


def test_one_more_is_a_new_image_each_time(filled):
    first, second = push_next(filled.url), push_next(filled.url)
    assert first.tag != second.tag
    assert first.artifact.digest != second.artifact.digest
    assert {first.tag, second.tag} <= set(Client(Endpoint(url=filled.url)).tags(NEXT_IMAGE))


def _blobs(artifact: Artifact) -> dict[str, int]:
    own = {blob.digest: len(blob.data) for blob in artifact.blobs}
    return own | {digest: size for child in artifact.children for digest, size in _blobs(child).items()}
