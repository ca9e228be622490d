"""The API for pipelines: what it answers, and to whom."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import Error
from django.utils import timezone

from sync.models import ApiToken, AuditEntry, Delivery, Instance, SyncRule, SyncTask, Trigger
from sync.services import grants, tokens
from sync.services.grants import Right
from tests.fakes.lists import HELD
from tests.fakes.registry import Answer, FakeRegistry
from tests.pages.test_tasks import make_repository, make_task
from tests.pages.tokens import Pipeline, make_token

DIGEST = HELD["Docker-Content-Digest"]


@pytest.fixture
def ann(rule: SyncRule) -> User:
    user = User.objects.create_user("ann")
    grants.grant(Right.OPERATE, user, rule.source)
    return user


@pytest.fixture
def pipeline(ann: User, source: Instance) -> Pipeline:
    return Pipeline(make_token(source, ann)[1])


def error_of(answer, status):
    told = answer.json()
    assert answer.status_code == status, told
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Frame-Options"] == "DENY" and "Content-Security-Policy" in answer.headers
    assert "Set-Cookie" not in answer.headers and not answer.cookies
    return told["error"]


def test_a_rule_is_started(pipeline, rule):
    answer = pipeline.post("sync", {"rule": "web"})
    task = SyncTask.objects.get()
    url = f"http://testserver/i/prod-gz/tasks/{task.pk}/"
    assert answer.status_code == 202 and not answer.cookies
    assert answer.json() == {"tasks": [{"id": task.pk, "rule": "prod-gz/web", "url": url, "created": True}]}
    assert (task.trigger, task.actor, task.quick) == (Trigger.COMMAND, "token ci", False)
    (again,) = pipeline.post("sync", {"rule": ["prod-gz/web"], "instance": "prod-gz"}).json()["tasks"]
    assert (again["id"], again["created"]) == (task.pk, False)


def test_resources_and_a_quick_check(pipeline, rule, settings):
    settings.CONSOLE_URL = "https://console.example/"
    body = {"rule": ["web"], "resources": ["prod/a:v1", "prod/a:v2"], "quick": True}
    (told,) = pipeline.post("sync", body).json()["tasks"]
    task = SyncTask.objects.get()
    assert task.selection == [{"repository": "prod/a", "tag": "v1"}, {"repository": "prod/a", "tag": "v2"}]
    assert task.quick and told["url"] == f"https://console.example/i/prod-gz/tasks/{task.pk}/"


def test_the_instance_alone_means_its_enabled_rules(pipeline, rule):
    same = {"source": rule.source, "target": rule.target, "source_namespace": "x"}
    SyncRule.objects.create(name="second", **same)
    SyncRule.objects.create(name="off", enabled=False, **same)
    told = pipeline.post("sync", {"instance": "prod-gz"}).json()["tasks"]
    assert [one["rule"] for one in told] == ["prod-gz/second", "prod-gz/web"]


@pytest.mark.parametrize(
    ("body", "status", "field", "said"),
    [
        ({}, 422, "rule", "Say which rules"),
        ({"rule": 1}, 422, "rule", "is a text, or a list"),
        ({"rule": ["web", None]}, 422, "rule", "is a text, or a list"),
        ({"rule": ["web"] * 101}, 422, "rule", "takes 100 at most"),
        ({"rule": "w\0b"}, 422, "rule", "is a text"),
        ({"rule": "gone"}, 404, "rule", "There is no rule “gone”."),
        ({"rule": "prod-eu/foreign"}, 404, "rule", "There is no rule"),
        ({"rule": "web", "instance": "prod-eu"}, 404, "instance", "There is no instance “prod-eu”."),
        ({"rule": "web", "instance": 7}, 422, "instance", "is a name"),
        ({"rule": "web", "resources": ["prod/a"]}, 422, "resources", "REPOSITORY:TAG"),
        ({"rule": "web", "resources": ["other/a:v1"]}, 422, "resources", "None of the chosen rules covers"),
        ({"rule": "web", "quick": "yes"}, 422, "quick", "true or false"),
        ({"rule": "web", "fast": True}, 422, "fast", "is not known here"),
        ([], 422, None, "no JSON object"),
        ("{", 422, None, "no JSON"),
        ("\xff".encode("latin-1"), 422, None, "no JSON"),
        ("[" * 100_000, 422, None, "no JSON"),
    ],
)
def test_bad_input_is_told_with_its_field(body, status, field, said, pipeline, rule, target):
    SyncRule.objects.create(name="foreign", source=target, target=rule.source, source_namespace="prod")
    answer = pipeline.post("sync", body)
    assert said in error_of(answer, status)
    assert answer.json().get("field") == field
    assert not SyncTask.objects.exists()


def test_what_is_too_long_is_refused(pipeline, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert "too long" in error_of(pipeline.post("sync", {"resources": ["prod/a:v1"] * 50}), 413)


@pytest.mark.parametrize("header", ["", "Bearer tcrc_unknown", "Basic dGNyY186eA==", "Bearer"])
def test_without_a_token_nobody_comes_in_not_even_by_a_session(header, console, rule):
    for ask, path in ((console.post, "sync"), (console.get, "tasks/1"), (console.get, "where"), (console.get, "x/y")):
        answer = ask(f"/api/{path}", headers={"Authorization": header} if header else {})
        assert "Show a token" in error_of(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_viewer_starts_nothing(ann, source, rule):
    viewer = Pipeline(make_token(source, ann, "view_instance")[1])
    assert error_of(viewer.post("sync", {"rule": "web"}), 403) == "The token ci is a Viewer: this needs an Operator."
    task = make_task(rule, "succeeded")
    assert viewer.get(f"tasks/{task.pk}").status_code == 200
    assert SyncTask.objects.count() == 1


def test_it_is_never_more_than_its_maker(pipeline, ann, source):
    grants.revoke(Right.OPERATE, ann, source)
    error_of(pipeline.post("sync", {"rule": "web"}), 401)
    assert not SyncTask.objects.exists()


def test_other_methods_are_refused(pipeline):
    answer = pipeline.get("sync")
    assert error_of(answer, 405) == "This takes POST."
    assert answer.headers["Allow"] == "POST"
    assert pipeline.post("where", {}).headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["sync/", "tasks/", "tasks/x", "unknown"])
def test_what_is_not_there_is_told_as_json(path, pipeline):
    assert "There is /api/sync" in error_of(pipeline.get(path), 404)


def test_too_many_requests(pipeline, settings, rule, source):
    settings.API_REQUESTS_PER_MINUTE = 2
    assert [pipeline.get("where").status_code for _ in range(3)] == [422, 422, 429]
    answer = pipeline.get("where")
    assert "2 requests a minute" in error_of(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    other = Pipeline(make_token(source, User.objects.get(), name="other")[1])
    assert other.get("where").status_code == 422
    settings.API_REQUESTS_PER_MINUTE = 0
    assert pipeline.get("where").status_code == 422


def test_when_it_was_used_is_written_once_a_minute(pipeline):
    pipeline.get("tasks/1")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    pipeline.get("tasks/1")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    pipeline.get("tasks/1")
    assert ApiToken.objects.filter(last_used_at__gt=first).exists()


def test_by_https_only_where_that_is_set(pipeline, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert "https only" in error_of(pipeline.post("sync", {"rule": "web"}), 403)


def test_without_a_database_it_is_said(pipeline, monkeypatch):
    def fail(_: str) -> None:
        raise Error("away")

    monkeypatch.setattr(tokens, "shown_in", fail)
    answer = pipeline.get("tasks/1")
    assert "database" in error_of(answer, 503) and answer.headers["Retry-After"]


def test_a_task_is_told(pipeline, rule):
    task = make_task(rule, "partial", planned=4, copied=2, unchanged=1, failed=1, repository_count=1, all_planned=True)
    make_repository(task, "prod/web", "partial").resources.create(
        tag="v1", outcome="failed", side="target", operation="put manifest", http_status=403, code="DENIED",
        reason="Target prod-eu: refused", hint="Ask its owner.",
    )  # fmt: skip
    told = pipeline.get(f"tasks/{task.pk}").json()
    expected = {"id": task.pk, "rule": "prod-gz/web", "target": "prod-eu", "status": "partial", "ended": True}
    expected |= {"planned": 4, "copied": 2, "unchanged": 1, "failed": 1, "success_rate": "3/4", "waits_for": None}
    assert expected.items() <= told.items()
    assert told["created"].startswith("20") and {"started", "finished", "reason", "conflict"} <= told.keys()
    assert told["failures"] == [
        {
            "repository": "prod/web",
            "tag": "v1",
            "side": "target",
            "operation": "put manifest",
            "status": 403,
            "code": "DENIED",
            "reason": "Target prod-eu: refused",
            "hint": "Ask its owner.",
        }
    ]


def test_of_many_failures_a_hundred_are_told(pipeline, rule, django_assert_max_num_queries):
    repository = make_repository(make_task(rule, "failed", failed=120), "prod/web", "failed")
    for number in range(120):
        repository.resources.create(tag=f"v{number}", outcome="failed")
    with django_assert_max_num_queries(12):
        assert len(pipeline.get(f"tasks/{repository.task_id}").json()["failures"]) == 100


def test_tasks_of_other_instances_are_not_there(pipeline, rule, target, ann):
    grants.grant(Right.ADMINISTER, ann, target)
    foreign = SyncRule.objects.create(name="web", source=target, target=rule.source, source_namespace="prod")
    task = make_task(foreign, "succeeded")
    for number in (task.pk, 10**6, 2**80):
        assert "There is nothing of this" in error_of(pipeline.get(f"tasks/{number}"), 404)


def test_hosts_of_other_instances_are_concealed(pipeline, rule):
    rule.target.url = "https://registry.inner.example"
    rule.target.save()
    task = make_task(rule, "failed", reason="Target prod-eu: no connection to registry.inner.example")
    answer = pipeline.get(f"tasks/{task.pk}")
    assert answer.json()["reason"] == "Target prod-eu: no connection to (a host)"


def test_where_it_is(pipeline, rule, ann):
    """Of its own instance, and of what rules brought from there; the target is not asked, whoever made the token."""
    Delivery.objects.create(rule=rule, target=rule.target, repository="prod/web", tag="1.2", digest=DIGEST)
    User.objects.filter(pk=ann.pk).update(is_superuser=True)
    with FakeRegistry() as registry, FakeRegistry() as target:
        registry.script("HEAD", "/v2/prod/web/manifests/", Answer(headers=HELD))
        registry.script("GET", "/v2/prod/web/manifests/", Answer(headers=HELD, body=b"{}"))
        Instance.objects.filter(pk=rule.source_id).update(url=registry.url)
        Instance.objects.filter(pk=rule.target_id).update(url=target.url)
        told = pipeline.get("where", ref="prod/web:1.2").json()
        assert registry.received("HEAD") and not target.connections
    assert told["ref"] == "prod/web:1.2"
    assert {one["instance"]: one["digest"] for one in told["instances"]} == {"prod-gz": DIGEST}
    (answer,) = told["rules"]
    assert (answer["rule"], answer["target"], answer["brought"]) == ("prod-gz/web", "prod-eu", DIGEST)
    assert answer["brought_at"]


@pytest.mark.parametrize("ref", ["", "Prod Web", DIGEST])
def test_what_is_no_reference_is_refused(ref, pipeline):
    answer = pipeline.get("where", ref=ref)
    assert error_of(answer, 422) and answer.json()["field"] == "ref"


def test_the_audit_tells_whose_token_it_was_and_from_where(pipeline, ann):
    (told,) = pipeline.post("sync", {"rule": "web"}).json()["tasks"]
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor_name, entry.actor, entry.remote_addr) == ("ann by token ci", ann, "127.0.0.1")
    assert (entry.verb, entry.object_repr) == ("synced", f"task {told['id']}")
