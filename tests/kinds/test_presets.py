"""Well-known registries: told by their host names, explained in their own words, and their limits obeyed.

The answers are those that the vendors document; docs/registries.md says which documents.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from sync.oci.errors import OciError, TooManyRequests
from sync.oci.places import Endpoint
from sync.registries import Registry, kind_of_host, open_registry, recognized
from tests.fakes.registry import Answer, FakeRegistry
from tests.kinds.stages import PRESETS, image_of

IMAGE = image_of("limited")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


def opened(fake: FakeRegistry, kind: str, side: str = "source") -> Registry:
    return open_registry(kind, Endpoint(fake.url, name="theirs"), side=side, attempts=1)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("registry-1.docker.io", "dockerhub"),
        ("docker.io", "dockerhub"),
        ("ghcr.io", "github"),
        ("registry.gitlab.com", "gitlab"),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "ecr"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "ecr"),
        ("team.azurecr.io", "acr"),
        ("europe-west3-docker.pkg.dev", "google"),
        ("quay.io", "quay"),
        ("demo.tencentcloudcr.com", "tcr"),
        ("registry.example", ""),
        ("quay.io.example", ""),
        ("notdocker.io", ""),
    ],
)
def test_a_kind_is_told_by_its_host(host, kind):
    assert kind_of_host(host) == kind


def limited(remaining: int) -> Answer:
    headers = {
        "Content-Type": IMAGE.media_type,
        "Docker-Content-Digest": IMAGE.digest,
        "ratelimit-limit": "100;w=21600",
        "ratelimit-remaining": f"{remaining};w=21600",
    }
    return Answer(200, headers, IMAGE.body)


def test_docker_hub_tells_its_limit_without_a_pull(fake):
    fake.script("HEAD", "/v2/ratelimitpreview/test/manifests/latest", limited(76))
    hub = opened(fake, "dockerhub")
    assert hub.pull_limit() is None
    told = hub.pull_limit(ask=True)
    assert told is not None and (told.limit, told.remaining, told.seconds) == (100, 76, 21600)
    assert [one.method for one in fake.requests] == ["HEAD"]


@pytest.mark.parametrize(("remaining", "goes_on"), [(5, True), (4, False), (0, False)])
def test_the_last_pulls_are_left_to_others(fake, remaining, goes_on):
    fake.script("GET", "/v2/library/web/manifests/", limited(remaining))
    fake.script("HEAD", "/v2/library/web/manifests/", limited(remaining))
    client = opened(fake, "dockerhub").client
    client.get_manifest("library/web", "1.0")
    read = partial(client.get_manifest, "library/web", "1.1")
    if goes_on:
        read()
    else:
        with pytest.raises(TooManyRequests) as waits:
            read()
        assert waits.value.retry_after == 900 and f"{remaining} of 100 pulls" in str(waits.value)
        assert "access token" in waits.value.hint
    assert client.head_manifest("library/web", "1.2") is not None, "to look costs nothing"
    assert [one.method for one in fake.requests] == ["GET", *(["GET"] if goes_on else []), "HEAD"]


def answer(status: int, code: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": "no"}]}).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)


@pytest.mark.parametrize(
    ("kind", "side", "refusal", "words"),
    [
        ("dockerhub", "source", answer(401, "UNAUTHORIZED"), "401 for what does not exist"),
        ("dockerhub", "source", answer(429, "TOOMANYREQUESTS"), "limits pulls"),
        ("github", "source", answer(403, "DENIED"), "read:packages"),
        ("gitlab", "source", answer(403, "DENIED"), "read_registry"),
        ("ecr", "source", answer(403, "DENIED"), "12 hours"),
        ("ecr", "target", answer(404, "NAME_UNKNOWN"), "create-repository"),
        ("acr", "source", answer(403, "DENIED"), "scope map"),
        ("google", "target", answer(404, "NAME_UNKNOWN"), "create it in Artifact Registry first"),
        ("quay", "target", answer(401, "UNAUTHORIZED"), "robot account"),
    ],
)
def test_refusals_are_explained_in_the_words_of_the_kind(fake, kind, side, refusal, words):
    fake.script("POST", "/v2/team/web/blobs/uploads/", refusal)
    with pytest.raises(OciError) as raised:
        opened(fake, kind, side).client.start_upload("team/web")
    assert words in raised.value.hint and raised.value.side == side


def test_a_fault_of_the_registry_keeps_its_own_words(fake):
    fake.script("POST", "/v2/team/web/blobs/uploads/", answer(500, "UNKNOWN"))
    for kind in PRESETS:
        told: Any = None
        try:
            opened(fake, kind).client.start_upload("team/web")
        except OciError as error:
            told = error
        assert told is not None and told.retryable


@pytest.mark.parametrize("kind", ["harbor", "charts"])
def test_a_registry_of_another_kind_is_recognized(fake, kind):
    if kind == "harbor":
        shape = json.dumps({"auth_mode": "db_auth", "self_registration": False}).encode()
        fake.script("GET", "/api/v2.0/systeminfo", Answer(200, {"Content-Type": "application/json"}, shape))
    else:
        fake.script("GET", "/index.yaml", Answer(200, {}, b"apiVersion: v1\nentries: {}\n"))
    assert recognized(opened(fake, "registry")) == kind


def test_a_plain_registry_seems_to_be_nothing_else(source):
    assert recognized(open_registry("registry", Endpoint(source))) == ""


@pytest.mark.parametrize(
    ("kind", "doubt"),
    [
        ("registry", ""),
        ("gitlab", ""),
        ("harbor", "does not answer as this kind does"),
        ("dockerhub", "host name is another"),
        ("tcr", "host name is another"),
    ],
)
def test_a_kind_that_does_not_fit_is_doubted(source, kind, doubt):
    said = open_registry(kind, Endpoint(source)).doubt()
    assert doubt in said and bool(said) == bool(doubt)
