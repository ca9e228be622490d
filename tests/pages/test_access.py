"""Deny by default: who was granted nothing sees nothing, by page, by URL or by POST."""

from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from sync.models import Instance, Status, SyncRule, SyncTask, TaskRepository


@pytest.fixture
def outsider(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("sub-account"))
    return client


@pytest.fixture
def urls(rule: SyncRule) -> dict[str, str]:
    """Every URL that names an instance."""
    task = SyncTask.objects.create(rule=rule, source=rule.source, target=rule.target, snapshot=rule.snapshot())
    repository = TaskRepository.objects.create(task=task, name="prod/a", target_name="prod/a")
    of_rule = ("rule", "rule-edit", "rule-switch", "rule-sync", "rule-delete")
    return {
        "instance-edit": reverse("instance-edit", args=[rule.source.name]),
        "instance-delete": reverse("instance-delete", args=[rule.source.name]),
        "rules": reverse("rules", args=[rule.source.name]),
        "rule-new": reverse("rule-new", args=[rule.source.name]),
        **{name: reverse(name, args=[rule.source.name, rule.name]) for name in of_rule},
        "task": reverse("task", args=[rule.source.name, task.pk]),
        **{
            name: reverse(name, args=[rule.source.name, task.pk])
            for name in ("task-stop", "task-retry", "task-log", "task-log-text")
        },
        "task-repository": reverse("task-repository", args=[rule.source.name, task.pk, repository.pk]),
    }


POST_ONLY = {"rule-switch", "rule-sync", "task-retry"}
ASKING = {"instance-edit", "instance-delete", "rule-new", "rule-edit", "rule-delete", "task-stop"}


def test_who_is_not_signed_in_is_sent_to_sign_in(client, urls):
    for url in urls.values():
        assert client.get(url).headers["Location"] == f"/login/?next={url}"


def test_who_sends_a_form_after_the_session_ended_comes_back_to_its_page(client, urls):
    """Not to where it is sent, which answers no GET, and never to another host."""
    sync, page = urls["rule-sync"], urls["rule"]
    came_from = {
        f"http://testserver{page}?period=30": f"{page}?period=30",
        f"http://evil.example{page}": "/",
        "": "/",
    }
    for referer, there in came_from.items():
        answer = client.post(sync, headers={"Referer": referer} if referer else {})
        assert answer.headers["Location"] == f"/login/?{urlencode({'next': there}, safe='/')}"


def test_ungranted_instances_are_not_reachable_by_url(outsider, urls):
    assert {name: outsider.get(url).status_code for name, url in urls.items() if name not in POST_ONLY} == {
        name: 404 for name in urls if name not in POST_ONLY
    }


def test_ungranted_instances_cannot_be_acted_on(outsider, urls):
    assert {outsider.post(urls[name]).status_code for name in POST_ONLY | ASKING} == {404}
    assert SyncRule.objects.get().enabled
    assert SyncTask.objects.get().status == Status.WAITING and not SyncTask.objects.get().stop_requested
    assert Instance.objects.count() == 2


def test_ungranted_instances_are_not_listed(outsider, rule):
    page = outsider.get("/instances/", follow=True).content.decode()
    assert "No instance is shown to you yet" in page
    assert rule.source.name not in page and rule.source.region not in page


def test_registering_and_testing_instances_is_for_platform_administrators(outsider, db):
    assert outsider.get("/instances/new/").status_code == 403
    answer = outsider.post("/instances/test/", {"name": "a", "url": "http://127.0.0.1:1"})
    assert answer.status_code == 403 and "Only platform administrators" in answer.content.decode()


def test_a_task_is_found_under_its_own_instance_only(console, rule):
    task = SyncTask.objects.create(rule=rule, source=rule.source, target=rule.target, snapshot=rule.snapshot())
    assert console.get(reverse("task", args=[rule.target.name, task.pk])).status_code == 404


def test_a_rule_is_found_under_its_own_instance_only(console, rule):
    assert console.get(reverse("rule", args=[rule.target.name, rule.name])).status_code == 404
