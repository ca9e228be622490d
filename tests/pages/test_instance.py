"""The page of one instance: how it is reached, its health, its rules, its namespaces."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from sync.models import Instance, SyncRule
from sync.services import configure, grants
from sync.services.grants import Right
from tests.fakes.registry import Answer, FakeRegistry
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.replication.support import push, some_image

SECRET = "marker-of-a-password"
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def registry(start_registry, source):
    """A real one behind the source."""
    source.url = start_registry().url
    source.save()
    return source.url


def test_it_tells_how_the_instance_is_reached_and_never_the_password(console, source):
    source.username, source.max_bytes_per_second = "robot", 5_000_000
    configure.save_instance(source, SECRET)
    Instance.objects.update(password_set_at=timezone.now() - timedelta(days=90))
    page = console.get("/i/prod-gz/").content.decode()
    assert texts(page, "h1") == ["prod-gz"]
    shown = dict(zip(texts(page, "dt"), texts(page, "dd"), strict=True))
    assert shown["Address"] == "http://127.0.0.1:1"
    assert (shown["Region"], shown["Kind"]) == ("ap-guangzhou", "OCI registry")
    assert shown["Credential"].startswith("robot Password set 90 days ago")
    assert shown["Limits"].startswith("64 connections 4.8")
    assert SECRET not in page and source.encrypted_password not in page


def test_when_the_password_was_set_is_kept_until_it_changes(source):
    configure.save_instance(source, SECRET)
    first = Instance.objects.get().password_set_at
    assert first is not None
    configure.save_instance(source, None)
    assert Instance.objects.get().password_set_at == first
    configure.save_instance(source, "")
    assert Instance.objects.get().password_set_at is None


def test_it_lists_rules_from_it_and_to_it(console, rule, target):
    SyncRule.objects.create(name="back", source=target, source_namespace="prod", target=rule.source, enabled=False)
    page = console.get("/i/prod-gz/").content.decode()
    assert texts(page, "li")[-2:] == ["web to prod-eu (Frankfurt)", "back from prod-eu (Frankfurt) disabled"]
    hrefs = [attributes(link).get("href") for link in elements(page, "a")]
    assert {"/i/prod-gz/rules/web/", "/i/prod-eu/rules/back/"} <= set(hrefs)


def test_the_registry_is_asked_only_when_the_page_is_there(console, registry):
    push(registry, "prod/web", "v1", some_image())
    push(registry, "prod/api", "v1", some_image())
    push(registry, "busybox", "v1", some_image())
    page = console.get("/i/prod-gz/").content.decode()
    section = attributes(by_id(page, "namespaces"))
    assert (section["hx-trigger"], section["hx-get"]) == ("load", "/i/prod-gz/namespaces/")
    answer = console.get(section["hx-get"], headers=FRAGMENT)
    assert "HX-Request" in answer.headers["Vary"]
    assert "hx-trigger" not in attributes(by_id(answer.content.decode(), "namespaces"))
    found = words(by_id(answer.content.decode(), "namespaces"))
    assert "/ top level 1 prod 2" in found
    # Without script a link leads to the same.
    whole = console.get("/i/prod-gz/namespaces/").content.decode()
    assert texts(whole, "h1") == ["prod-gz"] and "prod 2" in words(by_id(whole, "namespaces"))


def test_a_registry_that_is_away_is_told_where_it_was_asked(console, source):
    found = words(by_id(console.get("/i/prod-gz/namespaces/", headers=FRAGMENT).content.decode(), "namespaces"))
    assert "refused" in found


def test_the_connection_is_tested_as_it_is_saved(console, registry):
    answer = console.post("/i/prod-gz/check/", headers=FRAGMENT)
    found = words(by_id(answer.content.decode(), "health"))
    assert "Reachable" in found and "An upload was begun and given up again." in found
    assert Instance.objects.get(name="prod-gz").healthy is True
    announcer = by_id(answer.content.decode(), "announcer")
    assert (attributes(announcer)["hx-swap-oob"], words(announcer)) == (
        "innerHTML",
        "The connection to prod-gz works.",
    )
    whole = console.post("/i/prod-gz/check/").content.decode()
    assert "Listing allowed" in words(by_id(whole, "health"))
    assert console.get("/i/prod-gz/check/").status_code == 405


def test_a_connection_that_fails_is_told_aloud_with_its_cause(console, source):
    told = words(by_id(console.post("/i/prod-gz/check/", headers=FRAGMENT).content.decode(), "announcer"))
    assert told.startswith("The connection to prod-gz has a problem: ") and "refused" in told


@pytest.mark.parametrize("url", ["/i/nowhere/", "/i/nowhere/namespaces/"])
def test_what_one_may_not_see_does_not_exist(console, url):
    assert console.get(url).status_code == 404


def test_the_switcher_leads_to_the_same_page_of_another_instance(console, source, target):
    page = console.get("/i/prod-gz/").content.decode()
    assert "/i/prod-eu/" in [attributes(link).get("href") for link in elements(page, "a")]


@pytest.mark.parametrize(
    ("kind", "first"),
    [("registry", "CNCF distribution"), ("harbor", "Harbor"), ("tcr", "Tencent")],
)
def test_how_its_own_kind_is_set_up_to_notify_stands_first_and_open(console, source, kind, first):
    Instance.objects.filter(pk=source.pk).update(kind=kind)
    page = console.get("/i/prod-gz/").content.decode()
    texts_of_kinds = [one for one in elements(page, "details") if attributes(one).get("class") == "snippets"]
    assert len(texts_of_kinds) == 5
    assert words(texts_of_kinds[0]).startswith(first)
    assert ["open" in attributes(one) for one in texts_of_kinds] == [True, False, False, False, False]


@pytest.mark.parametrize("kind", ["charts", "ecr", "dockerhub", "github"])
def test_a_kind_that_cannot_notify_says_so_and_shows_the_script_alone(console, source, kind):
    Instance.objects.filter(pk=source.pk).update(kind=kind)
    page = console.get("/i/prod-gz/").content.decode()
    (recipe,) = [one for one in elements(page, "details") if attributes(one).get("class") == "snippets"]
    assert words(recipe).startswith("Scripts") and "open" in attributes(recipe)
    assert "cannot tell this console of pushes by itself" in page and "Set up the registry" not in texts(page, "h3")


def test_a_kind_that_lists_nothing_to_anybody_is_no_warning(console, source):
    Instance.objects.filter(pk=source.pk).update(kind="dockerhub")
    part = console.get("/i/prod-gz/namespaces/").content.decode()
    assert "Docker Hub has no list of all repositories" in part
    section = part[part.index('id="namespaces"') :]
    assert "problem" not in section[: section.index("</section>")]


@pytest.mark.usefixtures("valkey")
def test_what_docker_hub_told_last_of_its_limit_stands_on_the_page(console, source):
    limit = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
    headers = {"Content-Type": "application/json", "Docker-Content-Digest": f"sha256:{'a' * 64}", **limit}
    with FakeRegistry() as hub:
        Instance.objects.filter(pk=source.pk).update(kind="dockerhub", url=hub.url)
        assert "Limit of pulls" not in texts(console.get("/i/prod-gz/").content.decode(), "dt")
        hub.script("GET", "/v2/", Answer(200))
        hub.script("HEAD", "/v2/ratelimitpreview/test/manifests/latest", Answer(200, headers))
        console.post("/i/prod-gz/check/")
    page = console.get("/i/prod-gz/").content.decode()
    shown = dict(zip(texts(page, "dt"), texts(page, "dd"), strict=True))
    assert shown["Limit of pulls"].startswith("76 of 100 pulls within 6 hours are left. Told ")
    Instance.objects.filter(pk=source.pk).update(username="another")
    assert "Limit of pulls" not in texts(console.get("/i/prod-gz/").content.decode(), "dt")


def test_who_sees_the_source_sees_its_rules_wherever_they_lead(client, rule):
    user = User.objects.create_user("viewer")
    grants.grant(Right.VIEW, user, rule.source)
    client.force_login(user)
    page = client.get(reverse("instance", args=[rule.source.name])).content.decode()
    assert rule.name in texts(page, "a")
    SyncRule.objects.create(name="back", source=rule.target, target=rule.source, source_namespace="prod")
    assert "back" not in texts(client.get(reverse("instance", args=[rule.source.name])).content.decode(), "a")


def test_a_next_try_that_is_past_is_not_promised(console, source):
    now = timezone.now()
    Instance.objects.update(down_since=now - timedelta(hours=1), next_try_at=now - timedelta(minutes=1))
    assert "Asked again by the next task" in console.get(reverse("instance", args=[source.name])).content.decode()
    Instance.objects.update(next_try_at=now + timedelta(minutes=1))
    assert "Next try" in console.get(reverse("instance", args=[source.name])).content.decode()
