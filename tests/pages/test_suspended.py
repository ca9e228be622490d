"""Rules that may not run: nothing offers to start them, and whatever is asked to says why it did not."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from sync.models import AuditEntry, SyncRule, SyncTask, Verb
from sync.services import grants
from sync.services.grants import Right
from tests.pages.html import attributes, by_id, texts, words
from tests.pages.test_admin import act
from tests.pages.test_tasks import make_repository, make_task, url_of
from tests.pages.tokens import Pipeline, make_token

WHY = "ann, who saved this rule last, lacks the right Receive on prod-eu."


@pytest.fixture
def suspended(rule: SyncRule) -> SyncRule:
    """Ann, who may run it and not write to its target, saved it last."""
    ann = User.objects.create_user("ann")
    grants.grant(Right.MANAGE_RULES, ann, rule.source)
    SyncRule.objects.filter(pk=rule.pk).update(owner=ann, by_platform=False)
    grants.review(SyncRule.objects.all())
    rule.refresh_from_db()
    assert rule.suspension == WHY
    return rule


@pytest.mark.parametrize("url", ["/i/prod-gz/rules/", "/i/prod-gz/rules/web/"])
def test_sync_is_off_and_says_why(console, suspended, url):
    page = console.get(url).content.decode()
    button = attributes(by_id(page, f"sync-{suspended.pk}"))
    assert "disabled" in button and button["title"] == f"Suspended: {WHY}" and "formaction" not in button
    assert words(by_id(page, button["aria-describedby"])) == WHY


def test_sync_all_the_same_is_answered_with_the_reason_and_starts_nothing(console, suspended):
    said = f"Rule prod-gz/web is suspended, so nothing was started: {WHY}"
    answer = console.post("/i/prod-gz/rules/web/sync/", follow=True)
    assert said in texts(answer.content.decode(), "p") and answer.redirect_chain == [("/i/prod-gz/rules/web/", 302)]
    assert said in console.post("/i/prod-gz/rules/web/sync/", headers={"HX-Request": "true"}).content.decode()
    assert not SyncTask.objects.exists()


def test_a_rule_that_has_its_rights_again_is_started_though_nobody_looked_yet(console, suspended):
    SyncRule.objects.update(by_platform=True)
    console.post("/i/prod-gz/rules/web/sync/")
    assert SyncTask.objects.exists() and not SyncRule.objects.get().suspension
    assert AuditEntry.objects.get(verb=Verb.WENT_ON).actor_name == "system"


@pytest.fixture
def failed(suspended: SyncRule) -> SyncTask:
    task = make_task(suspended, "partial", planned=1, failed=1, repository_count=1)
    repository = make_repository(task, "prod/web", "partial", planned=1, failed=1, listed=True)
    repository.resources.create(tag="v1", outcome="failed", reason="refused")
    return task


def test_what_failed_is_not_tried_again(console, failed):
    page = console.get(url_of(failed)).content.decode()
    button = attributes(by_id(page, "retry"))
    assert "disabled" in button and WHY in words(by_id(page, button["aria-describedby"]))
    answer = console.post(f"{url_of(failed)}retry/", follow=True).content.decode()
    assert any(WHY in said for said in texts(answer, "p")) and SyncTask.objects.count() == 1


def test_switching_it_on_says_that_nothing_starts_it(console, suspended):
    SyncRule.objects.update(enabled=False)
    said = console.post("/i/prod-gz/rules/web/switch/", {"enable": "true"}, follow=True).content.decode()
    assert f"Rule web is enabled. Nothing starts it as long as it is suspended: {WHY}" in texts(said, "p")


def test_the_admin_says_it_too(console, failed):
    said = act(console, SyncRule, "enable", failed.rule)
    assert f"prod-gz/web is suspended, so that nothing starts it: {WHY}" in said
    assert f"so nothing was started: {WHY}" in act(console, SyncTask, "retry_failed", failed)
    assert SyncTask.objects.count() == 1


def test_the_api_answers_with_the_reason(suspended, source):
    pipeline = Pipeline(make_token(source, User.objects.get())[1])
    answer = pipeline.post("sync", {"rule": "web"})
    assert (answer.status_code, answer.json()["field"]) == (409, "rule")
    assert answer.json()["error"] == f"Rule prod-gz/web is suspended, so nothing was started: {WHY}"
    assert not SyncTask.objects.exists()
    SyncRule.objects.create(name="here", source=source, source_namespace="x", target=source)
    for body in ({"instance": "prod-gz"}, {"rule": ["web", "here"]}):
        told = pipeline.post("sync", body)
        assert told.status_code == 202 and [one["rule"] for one in told.json()["tasks"]] == ["prod-gz/here"]
        assert told.json()["suspended"] == [{"rule": "prod-gz/web", "reason": WHY}]


def test_the_list_finds_it_and_other_pages_mark_it(console, suspended):
    SyncRule.objects.create(name="sound", source=suspended.source, source_namespace="x", target=suspended.target)
    SyncRule.objects.filter(pk=suspended.pk).update(schedule="0 3 * * *", next_run_at=timezone.now())
    page = console.get("/i/prod-gz/rules/?state=suspended").content.decode()
    assert [name for name in ("web", "sound") if name in texts(page, "a")] == ["web"]
    instance, rule = (console.get(url).content.decode() for url in ("/i/prod-gz/", "/i/prod-gz/rules/web/"))
    assert "web to prod-eu (Frankfurt) suspended" in texts(instance, "li")
    assert "0 3 * * * UTC not while the rule is suspended" in texts(rule, "dd")


def test_a_list_that_is_open_hears_of_it(console, rule):
    """Though nothing of the rule was saved."""
    page = console.get("/i/prod-gz/rules/").content.decode()
    poll = attributes(by_id(page, "rules"))["hx-get"]
    headers = {"HX-Request": "true", "HX-Target": "rules"}
    assert console.get(poll, headers=headers).status_code == 204
    grants.suspend(rule, "A right is missing.")
    answer = console.get(poll, headers=headers)
    assert answer.status_code == 200 and "A right is missing." in answer.content.decode()
