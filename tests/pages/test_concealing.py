"""Who sees the source alone reads why the target failed without learning where the target is."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from sync.models import LogLine, Status, SyncTask, TaskRepository, TaskResource
from sync.services import grants
from sync.services.grants import Right
from sync.services.hosts import concealing

INNER = "registry.inner.example:5000"


@pytest.fixture
def failed(rule):
    rule.target.url = f"https://{INNER}"
    rule.target.health_reason = f"no connection to {INNER}"
    rule.target.healthy = False
    rule.target.save()
    reason = f"Target {rule.target.name}: no connection to {INNER}, registry.inner.example is away"
    task = SyncTask.objects.create(
        rule=rule, source=rule.source, target=rule.target, snapshot=rule.snapshot(), status=Status.FAILED, failed=1,
        planned=1, reason=reason, repository_count=1,
    )  # fmt: skip
    repository = TaskRepository.objects.create(
        task=task, name="prod/a", target_name="prod/a", status=Status.FAILED, reason=reason, failed=1, planned=1
    )
    TaskResource.objects.create(repository=repository, tag="v1", outcome="failed", side="target", reason=reason)
    LogLine.objects.create(task=task, message=reason, level="error")
    return task


def pages(client, task):
    of_task = (task.source.name, task.pk)
    urls = [
        reverse("rules", args=[task.source.name]),
        reverse("rule", args=[task.source.name, task.rule.name]),
        *(reverse(name, args=of_task) for name in ("task", "task-log", "task-log-text")),
        reverse("task-repository", args=[*of_task, task.repositories.get().pk]),
        reverse("where") + "?ref=prod/a:v1",
    ]
    answers = [client.get(url) for url in urls]
    assert {answer.status_code for answer in answers} == {200}
    return "".join(b"".join(answer).decode() for answer in answers)


@pytest.fixture
def somebody(client, db):
    user = User.objects.create_user("somebody")
    client.force_login(user)
    return user


def test_the_host_of_an_unseen_target_is_nowhere(client, somebody, failed):
    grants.grant(Right.VIEW, somebody, failed.source)
    text = pages(client, failed)
    assert "inner.example" not in text
    assert f"no connection to {failed.target.name}, {failed.target.name} is away" in text


def test_to_receive_shows_no_host_either(client, somebody, failed):
    grants.grant(Right.MANAGE_RULES, somebody, failed.source)
    grants.grant(Right.RECEIVE, somebody, failed.target)
    assert "inner.example" not in pages(client, failed)


def test_who_sees_both_reads_it_as_it_is(client, somebody, failed):
    for instance in (failed.source, failed.target):
        grants.grant(Right.VIEW, somebody, instance)
    assert f"no connection to {INNER}" in pages(client, failed)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("at a.example:5000.", "at one."),
        ("at A.Example/v2", "at one/v2"),
        ("at a.example:5001", "at a.example:5001"),
        ("at data.a.example.org", "at data.a.example.org"),
        ("at a.example-2", "at a.example-2"),
    ],
)
def test_only_that_host_is_replaced(text, told):
    assert concealing({"a.example:5000": "one", "a.example": "one"})(text) == told
