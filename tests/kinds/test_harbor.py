"""Harbor, against a server that answers as its documents tell."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from sync.oci.errors import Cancelled, Denied, OciError, Unauthorized
from sync.oci.list_api import Bookmark
from sync.oci.transport import always
from tests.fakes.harbor import API, EVERYTHING, Account, refusal
from tests.fakes.registry import Answer, FakeRegistry
from tests.kinds.harbor_stage import fill, opened

pytestmark = pytest.mark.usefixtures("quick_backoff")


# projects


def test_projects_in_pages_with_their_repositories(stage, fake):
    for number in range(230):
        fake.make(f"project-{number:03}")
    stage.hold("project-007/web", "v1", "one")
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
    stage.hold("prod/other", "v1", "one")
    stage.hold("product/web", "v1", "one")
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


# deleting


def test_a_tag_goes_and_others_of_its_digest_stay(stage, fake):
    digest = stage.hold("prod/team/web", "v1", "one")
    stage.hold("prod/team/web", "latest", "one")
    registry, checks = stage.open("target"), []
    registry.delete_tag("prod/team/web", "v1", lambda: checks.append(len(fake.requests)))
    assert checks == [0], "right before it is sent"
    assert registry.digests("prod/team/web") == {"latest": digest}
    registry.delete_tag("prod/team/web", "v1", always)


def test_what_is_not_there_is_deleted(stage, fake):
    stage.hold("prod/other", "v1", "one")
    gone = b'{"errors": [{"code": "NOT_FOUND", "message": "repository prod/web not found"}]}'
    stage.open("target").delete_tag("prod/other", "v2", always)
    fake.script("DELETE", API, Answer(404, body=gone))
    stage.open("target").delete_tag("prod/web", "v1", always)
    assert [one.method for one in fake.requests].count("DELETE") == 2, "both were asked for"


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
    stage.hold("prod/web", "v1", "one")
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
    stage.hold("other/web", "v1", "new")
    manifest = client.get_manifest("other/web", "v1")
    stage.hold("prod/web", "v1", "old")
    vars(fake.projects["prod"]).update(about)
    with pytest.raises(OciError) as caught:
        client.put_manifest("prod/web", "v1", manifest)
    assert words in caught.value.hint
    assert (caught.value.side, caught.value.retryable) == ("target", False)


@pytest.mark.parametrize(
    ("status", "code", "message", "words"),
    [
        (403, "DENIED", "The system is in read only mode. Any modification is prohibited.", "Repository Read Only"),
        (
            412,
            "PROJECTPOLICYVIOLATION",
            "current image with 3 vulnerabilities cannot be pulled due to configured policy in 'Prevent images'",
            "Deployment security",
        ),
        (429, "TOO_MANY_REQUEST", "too many requests to upstream registry", "behind this proxy cache"),
        (404, "NOT_FOUND", "artifact prod/web:v1 not found", "It may not exist"),
    ],
    ids=["read-only", "vulnerable", "upstream", "absent"],
)
def test_what_else_harbor_says(status, code, message, words, fake):
    fake.script("GET", "/v2/prod/web/manifests/", refusal(status, code, message))
    with pytest.raises(OciError) as caught:
        opened(fake, attempts=1).client.get_manifest("prod/web", "v1")
    assert words in caught.value.hint


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


def test_an_account_that_the_api_does_not_know_may_push_all_the_same(fake):
    fake.make("prod")
    fake.script("HEAD", f"{API}/projects", Answer(401))
    opened(fake, side="target").ensure_namespace("prod")
    assert fake.received("POST") == []


def test_a_robot_account_that_may_only_pull(stage, fake):
    stage.hold("prod/web", "v1", "one")
    fake.accounts["robot$pull"] = Account("s", frozenset({"pull"}))
    client = opened(fake, "robot$pull", "s", side="target").client
    manifest = client.get_manifest("prod/web", "v1")
    with pytest.raises(Unauthorized) as caught:
        client.put_manifest("prod/web", "v2", manifest)
    assert "Push in a target" in caught.value.hint


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


# the stage


def test_what_is_pushed_to_the_stage_is_what_is_held(stage, fake):
    assert stage.add("prod/web", "v1", "one") == stage.hold("prod/api", "v1", "one")
    assert fake.held["prod/web"] == fake.held["prod/api"]
    assert stage.requests() > 0
    assert stage.is_private("prod")
