"""Harbor, against a server that answers as its documents tell."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from demo import artifacts
from sync.oci.client import Credential, Endpoint
from sync.oci.errors import Cancelled, Denied, OciError, Unauthorized
from sync.oci.list_api import Bookmark
from sync.oci.transport import always
from sync.registries import Listing, Registry, Resource, open_registry
from sync.registries import harbor as kind
from tests.fakes.harbor import API, EVERYTHING, Account, FakeHarbor
from tests.fakes.registry import Answer, FakeRegistry
from tests.kinds.harbor_stage import ROBOT, SECRET, HarborStage, text_image

pytestmark = pytest.mark.usefixtures("quick_backoff")


@pytest.fixture
def stage():
    with HarborStage() as stage:
        yield stage


@pytest.fixture
def fake(stage: HarborStage) -> FakeHarbor:
    return stage.fake


def opened(fake: FakeRegistry, name: str = ROBOT, secret: str = SECRET, **options) -> Registry:
    credential = Credential(name, secret) if name else None
    return open_registry("harbor", Endpoint(fake.url, name="harbor"), credential, **options)


def fill(stage: HarborStage, repositories: int, tags: int, project: str = "prod") -> list[str]:
    names = [f"{project}/team/app-{number:03}" for number in range(repositories)]
    for name in names:
        for number in range(tags):
            stage.add(name, f"v{number}", f"{name} {number}")
    return names


# projects


def test_projects_in_pages_with_their_repositories(stage, fake):
    for number in range(230):
        fake.make(f"project-{number:03}")
    stage.add("project-007/web", "v1", "one")
    found = stage.open().namespaces()
    assert len(found) == 230
    assert (found["project-007"], found["project-008"]) == (1, 0)
    assert list(found) == sorted(found)
    assert len(fake.received("GET", f"{API}/projects?")) == 3


def test_a_robot_account_sees_its_project_and_public_ones(stage, fake):
    fake.accounts["robot$mine+reader"] = Account("s", frozenset({"list"}), projects={"mine"})
    for name, public in (("mine", False), ("others", False), ("library", True)):
        fake.make(name, public=public)
    assert list(opened(fake, "robot$mine+reader", "s").namespaces()) == ["library", "mine"]


def test_projects_that_may_not_be_listed_are_known_by_the_catalog(stage, fake):
    fake.script("GET", f"{API}/projects", Answer(403))
    fake.script("GET", "/v2/_catalog", Answer(body=b'{"repositories": ["prod/a/web", "prod/b"]}'))
    assert stage.open().namespaces() == {"prod": 2, "prod/a": 1}


def test_repositories_in_pages_of_a_project_and_below(stage, fake):
    names = fill(stage, 130, 1)
    stage.add("prod/other", "v1", "one")
    stage.add("product/web", "v1", "one")
    assert list(stage.open().repositories("prod")) == ["prod/other", *names]
    assert list(stage.open().repositories("prod/team")) == names
    assert list(stage.open().repositories("/")) == []
    assert len(fake.received("GET", f"{API}/projects/prod/repositories?")) == 4


def test_a_list_of_repositories_is_gone_on_with(stage):
    names = fill(stage, 12, 1)
    place, registry = Bookmark(), stage.open()
    first = [name for name, _ in zip(registry.repositories("prod", place), range(5), strict=False)]
    place = Bookmark(first[0], first[-1])
    assert first + list(registry.repositories("prod", place)) == names
    assert place.last == names[-1]


def test_a_project_is_made_private_and_once(stage, fake):
    registry = stage.open("target")
    registry.ensure_namespace("fresh/team")
    registry.ensure_namespace("fresh/team")
    assert stage.is_private("fresh")
    assert len(fake.received("POST")) == 1


def test_two_that_make_a_project_at_the_same_moment(stage, fake):
    together = Barrier(2)

    def absent(request):
        answer = fake._api(request)
        together.wait(10)
        return answer

    fake.script("HEAD", f"{API}/projects", absent)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(stage.open("target").ensure_namespace, "fresh") for _ in range(2)]:
            done.result()
    assert (fake.answered["POST", 201], fake.answered["POST", 409]) == (1, 1)


@pytest.mark.parametrize(
    "account",
    [Account("s", EVERYTHING, projects={"mine"}), Account("s", EVERYTHING - {"create project"})],
    ids=["of a project", "without the right"],
)
def test_who_may_make_no_project_is_told_what_is_missing(account, fake):
    fake.accounts["robot$small"] = account
    with pytest.raises(Denied) as caught:
        opened(fake, "robot$small", "s", side="target").ensure_namespace("fresh")
    assert "Project: Create" in caught.value.hint
    assert caught.value.operation == "create the project fresh"


def test_a_proxy_cache_is_refused_before_anything_is_copied(stage, fake):
    fake.make("cache", registry_id=3)
    with pytest.raises(OciError, match="cache is a proxy cache") as caught:
        stage.open("target").ensure_namespace("cache/library")
    assert (caught.value.side, caught.value.retryable) == ("target", False)
    assert fake.received("POST") == []


def test_there_is_nothing_outside_of_projects(stage):
    with pytest.raises(OciError, match="nothing lies outside of a project"):
        stage.open("target").ensure_namespace("/")


# digests


def test_tags_with_digests_and_times_of_a_nested_repository(stage, fake):
    digest = stage.add("prod/team/web", "v1", "one")
    assert stage.add("prod/team/web", "latest", "one") == digest
    other = stage.add("prod/team/web", "v2", "two")
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
    stage.add("prod/other", "v1", "one")
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
    stage.add("prod/plain", "v1", "one")
    digest, image = stage.add("prod/web", "v1", "one"), text_image("one")
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
        stage.add(name, "latest", f"{name} 9")
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
        if "page=5&" in request.target:
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


def test_a_page_that_fails_is_told_and_asked_again(stage, fake):
    fill(stage, 10, 30)
    fake.script("GET", f"{API}/projects/prod/artifacts?page=2&", *[Answer(500)] * 4, fake._api)
    registry = stage.open("source")
    registry.listing = Listing()
    with pytest.raises(OciError, match="list the artifacts of prod"):
        registry.digests("prod/team/app-000")
    assert len(registry.digests("prod/team/app-000") or {}) == 30


def test_an_account_that_asks_too_often_waits(stage, fake):
    stage.add("prod/web", "v1", "one")
    busy = Answer(429, {"Retry-After": "0"})
    fake.script("GET", f"{API}/projects/prod/repositories", busy, busy, fake._api)
    assert stage.open().digests("prod/web") is not None
    assert len(fake.requests) == 3


# deleting


def test_a_tag_goes_and_others_of_its_digest_stay(stage, fake):
    digest = stage.add("prod/team/web", "v1", "one")
    stage.add("prod/team/web", "latest", "one")
    registry, checks = stage.open("target"), []
    registry.delete_tag("prod/team/web", "v1", lambda: checks.append(len(fake.requests)))
    assert checks == [0], "right before it is sent"
    assert registry.digests("prod/team/web") == {"latest": digest}
    registry.delete_tag("prod/team/web", "v1", always)


def test_a_deletion_that_may_not_be_sent_is_not_sent(stage, fake):
    def never():
        raise Cancelled("no")

    with pytest.raises(Cancelled):
        stage.open("target").delete_tag("prod/web", "v1", never)
    assert fake.requests == []


def test_a_404_that_is_not_harbors_is_no_deletion(stage, fake):
    fake.script("DELETE", API, Answer(404, body=b"nothing here"))
    with pytest.raises(OciError, match="404"):
        stage.open("target").delete_tag("prod/web", "v1", always)


def test_an_immutable_tag_is_told(stage, fake):
    stage.add("prod/web", "v1", "one")
    fake.projects["prod"].immutable.add("v1")
    with pytest.raises(OciError) as caught:
        stage.open("target").delete_tag("prod/web", "v1", always)
    assert (caught.value.status, caught.value.side) == (412, "target")
    assert "Tag Immutability" in caught.value.hint


# what refusals mean


@pytest.mark.parametrize(
    ("about", "words"),
    [({"quota_used": True}, "Project Quotas"), ({"registry_id": 4}, "Proxy Cache"), ({"immutable": {"v1"}}, "Policy")],
    ids=["quota", "proxy cache", "immutable"],
)
def test_refusals_of_a_push_in_harbors_words(about, words, stage, fake):
    client = stage.open("target").client
    stage.add("other/web", "v1", "new")
    manifest = client.get_manifest("other/web", "v1")
    stage.add("prod/web", "v1", "old")
    vars(fake.projects["prod"]).update(about)
    with pytest.raises(OciError) as caught:
        client.put_manifest("prod/web", "v1", manifest)
    assert words in caught.value.hint
    assert (caught.value.side, caught.value.retryable) == ("target", False)


def test_a_project_that_is_missing(stage):
    for side, words in (("source", "compare the namespace"), ("target", "does not exist there")):
        with pytest.raises(Unauthorized) as caught:
            list(stage.open(side).client.tags("nowhere/web"))
        assert words in caught.value.hint


def test_a_robot_account_that_is_disabled(fake):
    fake.make("prod")
    fake.accounts["robot$old"] = Account("s", disabled=True)
    with pytest.raises(Unauthorized) as caught:
        opened(fake, "robot$old", "s").client.ping()
    assert "disabled or expired" in caught.value.hint


def test_a_missing_permission(stage, fake):
    fake.make("prod")
    fake.accounts["robot$pull"] = Account("s", frozenset({"pull"}))
    with pytest.raises(Denied) as caught:
        list(opened(fake, "robot$pull", "s").repositories("prod"))
    assert "missing permission" in caught.value.hint


# recognizing


def test_harbor_is_recognized(stage, fake):
    assert stage.open().recognize()
    assert opened(fake, name="").recognize()


@pytest.mark.parametrize("answer", [Answer(404), Answer(body=b"<html>"), Answer(body=b"[]"), Answer(body=b'{"a": 1}')])
def test_others_are_not(answer):
    with FakeRegistry() as other:
        other.script("GET", API, answer)
        assert not opened(other).recognize()
