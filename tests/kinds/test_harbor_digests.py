"""Digests of Harbor's tags without a question for each: of a repository, and of a whole project."""

import json
import threading
from datetime import UTC, datetime

import pytest

from demo import artifacts
from sync.oci.errors import Cancelled, OciError
from sync.registries import Listing, Resource
from sync.registries import harbor as kind
from tests.fakes.harbor import API
from tests.fakes.registry import Answer
from tests.kinds.harbor_stage import fill, opened, text_image

pytestmark = pytest.mark.usefixtures("quick_backoff")


# digests


def test_tags_with_digests_and_times_of_a_nested_repository(stage, fake):
    digest = stage.hold("prod/team/web", "v1", "one")
    assert stage.hold("prod/team/web", "latest", "one") == digest
    other = stage.hold("prod/team/web", "v2", "two")
    registry = stage.open()
    assert registry.digests("prod/team/web") == {"v1": digest, "latest": digest, "v2": other}
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert set(registry.resources("prod/team/web")) == {
        Resource("prod/team/web", tag, known, at) for tag, known in (("v1", digest), ("latest", digest), ("v2", other))
    }
    assert all("/repositories/team%252Fweb/artifacts" in one.target for one in fake.received("GET", API))


def test_digests_in_pages_of_a_hundred(stage, fake):
    fill(stage, 1, 230)
    assert len(stage.open().digests("prod/team/app-000") or {}) == 230
    assert len(fake.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_where_artifacts_are_not_listed_digests_are_unknown(status, stage, fake):
    fake.script("GET", f"{API}/projects/prod/repositories", Answer(status))
    registry = stage.open()
    assert [registry.digests(f"prod/{name}") for name in ("a", "b", "c")] == [None] * 3
    assert len(fake.requests) == 1


def test_a_repository_without_tags_is_left_to_the_oci_api(stage, fake):
    stage.hold("prod/other", "v1", "one")
    registry = stage.open()
    assert registry.digests("prod/gone") is None
    assert registry.digests("prod/other") is not None
    with pytest.raises(OciError) as caught:
        list(registry.client.tags("prod/gone"))
    assert caught.value.code == "NAME_UNKNOWN", "as the engine knows it"


@pytest.mark.parametrize("how", ["by tag", "by reference"])
@pytest.mark.parametrize("listed", [False, True], ids=["alone", "with its project"])
def test_what_is_signed_is_told_apart(listed, how, stage, fake):
    """Signatures are in no list of artifacts."""
    stage.hold("prod/plain", "v1", "one")
    digest, image = stage.hold("prod/web", "v1", "one"), text_image("one")
    signature = artifacts.signature(image)
    mark = artifacts.fallback_tag(image)
    tag = f"{mark}.sig" if how == "by tag" else signature.digest
    body = text_image("signature").body if how == "by tag" else signature.body
    fake.put("prod/web", tag, signature.media_type, body)
    registry = stage.open()
    registry.listing = Listing() if listed else None
    assert registry.digests("prod/web") == {"v1": digest, tag if how == "by tag" else mark: ""}
    assert registry.digests("prod/plain") == {"v1": digest}
    assert len(fake.received("GET", "/v2/prod/web/tags")) >= 1
    assert fake.received("GET", "/v2/prod/plain/tags") == []


# a whole project


def test_a_project_is_listed_at_once(stage, fake):
    names = fill(stage, 30, 10)
    for name in names:
        stage.hold(name, "latest", f"{name} 9")
    registry = stage.open()
    registry.listing = Listing()
    assert list(registry.repositories("prod")) == names
    assert list(registry.repositories("prod/team")) == names
    for name in names:
        digests = registry.digests(name) or {}
        assert digests == fake.held[name].tags
    assert len(fake.requests) == 3
    registry.digests(names[0])
    assert len(fake.requests) == 4, "what was taken is listed for itself"


def test_an_older_harbor_lists_repository_by_repository(stage, fake):
    fake.lists_projects = False
    names = fill(stage, 3, 2)
    registry = stage.open()
    registry.listing = Listing()
    assert list(registry.repositories("prod")) == names
    assert [registry.digests(name) for name in names] == [fake.held[name].tags for name in names]
    assert len(fake.received("GET", f"{API}/projects/prod/artifacts")) == 1
    assert len(fake.requests) == 1 + 1 + 3


def test_a_project_that_costs_more_than_its_repositories_is_not_listed(stage, fake):
    names = fill(stage, 2, 150)
    registry = stage.open()
    registry.listing = Listing(at_most=2)
    assert len(registry.digests(names[0]) or {}) == 150
    assert len(fake.received("GET", f"{API}/projects/prod/artifacts")) == 1


def test_what_was_broken_off_goes_on_with_the_pages_that_are_missing(stage, fake):
    fill(stage, 30, 30)
    stop, listing = threading.Event(), Listing()

    def ends(request):
        if "page=6&" in request.target:
            stop.set()
        return fake._api(request)

    fake.script("GET", f"{API}/projects/prod/artifacts", ends)
    registry = opened(fake, cancelled=stop.is_set)
    registry.listing = listing
    with pytest.raises(Cancelled):
        registry.digests("prod/team/app-000")
    asked = len(fake.requests)
    assert asked < 9
    stop.clear()
    again = stage.open()
    again.listing = listing
    assert len(again.digests("prod/team/app-000") or {}) == 30
    assert len(listing.repositories) == 29
    assert len(fake.requests) <= 9 + 1 + kind.PAGES_AT_ONCE


def test_where_a_page_fails_repositories_are_listed_one_by_one(stage, fake):
    names = fill(stage, 10, 30)
    fake.script("GET", f"{API}/projects/prod/artifacts?page=2&", *[Answer(500)] * 4, fake._api)
    listing, registry = Listing(), stage.open()
    registry.listing = listing
    assert list(registry.repositories("prod")) == names
    assert [len(registry.digests(name) or {}) for name in names] == [30] * 10
    again = stage.open()
    again.listing = listing
    assert list(again.repositories("prod")) == names
    assert len(fake.received("GET", f"{API}/projects/prod/artifacts?page=3&")) == 1, "it came"


def test_what_is_deleted_meanwhile_hides_nothing_else(stage, fake):
    names = fill(stage, 4, 100)
    kept = {name: set(fake.held[name].tags) for name in names[1:]}

    def deletes(request):
        answer = fake._api(request)
        for digest in list(fake.held[names[0]].manifests)[:10]:
            del fake.held[names[0]].manifests[digest]
        return answer

    fake.script("GET", f"{API}/projects/prod/artifacts?page=1&", deletes, fake._api)
    registry = stage.open()
    registry.listing = Listing()
    assert {name: set(registry.digests(name) or ()) for name in names[1:]} == kept


def test_who_asks_too_often_is_not_asked_more(stage, fake):
    fill(stage, 4, 1)
    fake.script("GET", f"{API}/projects/prod/artifacts", Answer(429, {"Retry-After": "3600"}))
    registry = stage.open()
    registry.listing = Listing()
    with pytest.raises(OciError) as caught:
        registry.digests("prod/team/app-000")
    assert caught.value.retry_after == 3600
    assert len(fake.requests) == 1


def test_an_account_that_asks_too_often_waits(stage, fake):
    stage.hold("prod/web", "v1", "one")
    busy = Answer(429, {"Retry-After": "0"})
    fake.script("GET", f"{API}/projects/prod/repositories", busy, busy, fake._api)
    assert stage.open().digests("prod/web") is not None
    assert len(fake.requests) == 3


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"no JSON", b'{"a": []}'])
def test_an_answer_that_is_no_list_is_told_with_its_place(body, stage, fake):
    fake.script("GET", f"{API}/projects/prod/repositories", Answer(body=body))
    registry = stage.open("source")
    if body == b"{}":
        assert registry.digests("prod/web") is None
        return
    with pytest.raises(OciError, match=r"not a list|not JSON") as caught:
        registry.digests("prod/web")
    assert (caught.value.side, caught.value.operation) == ("source", "list the artifacts of prod/web")


def test_an_artifact_that_tells_too_little_is_left_out(stage, fake):
    digest = stage.hold("prod/web", "v1", "one")
    odd = [
        {"digest": "md5:1", "tags": [{"name": "a"}]},
        {"digest": digest, "tags": None},
        {"digest": digest, "tags": ["b", {"name": "c"}]},
    ]
    fake.script("GET", f"{API}/projects/prod/repositories", Answer(body=json.dumps(odd).encode()))
    assert stage.open().digests("prod/web") == {"c": digest}
