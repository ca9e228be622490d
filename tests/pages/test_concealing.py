"""Who sees the source alone reads why the target failed, not where it is, nor what belongs to it."""

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import models
from django.urls import reverse
from django.utils import timezone

from sync.models import Instance, LogLine, Status, SyncTask, TaskRepository, TaskResource
from sync.models.reason import ReasonField
from sync.oci.errors import Unreachable
from sync.oci.hosts import HIDDEN
from sync.services import glance, grants, outages
from sync.services.grants import Right
from sync.services.reading import Reader, read_by

INNER = "registry.inner.example:5000"


@pytest.fixture
def failed(rule):
    rule.target.url = f"https://{INNER}"
    rule.target.health_reason = f"no connection to {INNER}"
    rule.target.healthy = False
    rule.target.save()
    storage = "https://store.inner.example/b at 10.9.8.7:443"
    reason = f"Target {rule.target.name}: no connection to {INNER}, {storage} is away"
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
    assert "10.9.8.7" not in text
    assert f"Target {failed.target.name}: no connection to {HIDDEN}, {HIDDEN} at {HIDDEN} is away" in text


def test_to_receive_shows_no_host_either(client, somebody, failed):
    grants.grant(Right.MANAGE_RULES, somebody, failed.source)
    grants.grant(Right.RECEIVE, somebody, failed.target)
    assert "inner.example" not in pages(client, failed)


def test_who_sees_both_reads_it_as_it_is(client, somebody, failed):
    for instance in (failed.source, failed.target):
        grants.grant(Right.VIEW, somebody, instance)
    assert f"no connection to {INNER}" in pages(client, failed)


def test_what_one_typed_stays_as_it_was_typed(client, somebody, failed):
    """Nobody finds out by typing hosts which of them are those of instances."""
    grants.grant(Right.MANAGE_RULES, somebody, failed.source)
    failed.rule.description = f"goes to {INNER}"
    failed.rule.save()
    assert f"goes to {INNER}" in client.get(reverse("rule-edit", args=[failed.source.name, failed.rule.name])).text
    assert f"{INNER}/prod/a:v1" in client.get(reverse("where"), {"ref": f"{INNER}/prod/a:v1"}).text


def test_the_host_of_ones_own_side_is_told(client, somebody, failed):
    grants.grant(Right.VIEW, somebody, failed.source)
    host = failed.source.url.partition("://")[2]
    LogLine.objects.create(task=failed, message=f"no connection to {host}", level="error")
    assert f"no connection to {host}" in pages(client, failed)


def test_a_look_at_what_would_match_tells_no_host(client, somebody, failed, monkeypatch):
    grants.grant(Right.MANAGE_RULES, somebody, failed.source)
    grants.grant(Right.RECEIVE, somebody, failed.target)
    error = Unreachable(f"no connection to {INNER}", side="target")
    seen = glance.Glance(target_problem=str(error))
    monkeypatch.setattr(glance, "look", lambda *args, **options: seen)
    form = {"name": "a", "source_namespace": "prod", "target": failed.target.pk, "images": "on"}
    page = client.post(reverse("preview-new", args=[failed.source.name]), form).text
    assert f"no connection to {HIDDEN}" in page
    assert "inner.example" not in page


def test_a_reason_that_was_read_is_stored_as_it_was(failed):
    whole = failed.reason
    with read_by(Reader(type(failed.source).objects.none())):
        task = SyncTask.objects.get(pk=failed.pk)
        assert "inner.example" not in task.reason
        task.save()
        task.close(Status.FAILED)
        assert SyncTask.objects.filter(reason=task.reason).exists()
    assert SyncTask.objects.get(pk=failed.pk).reason == whole


def test_why_a_task_waited_too_long_is_kept_in_full_whoever_reads_along(failed):
    """As when somebody runs it in the foreground, with the rights of a user."""
    Instance.objects.filter(pk=failed.target_id).update(down_since=timezone.now(), down_reason=f"{INNER} is away.")
    with read_by(Reader(Instance.objects.none())):
        task = SyncTask.objects.select_related("source", "target").get(pk=failed.pk)
        assert task.target and INNER not in task.target.down_reason
        assert f"{INNER} is away." in str(outages.told(task))


def test_a_log_that_is_sent_bit_by_bit_is_read_as_its_reader_may(client, somebody, failed):
    """It is looked up when the view has returned."""
    grants.grant(Right.VIEW, somebody, failed.source)
    url = reverse("task-log-text", args=[failed.source.name, failed.pk])
    assert "inner.example" not in b"".join(client.get(url)).decode()
    assert INNER in LogLine.objects.get(task=failed).message


# What else is text in the database: of our own words, or of a person's.
PLAIN = {
    "Announcement": {"url", "status", "reason"},  # of the webhook that the rule itself names
    "ApiToken": {"name", "role", "token_hash"},
    "AuditEntry": {
        *("verb", "actor_name", "detail", "object_pk", "object_repr", "changes_text", "cid", "actor_email"),
    },
    "Delivery": {"repository", "tag", "digest"},
    "ErrorTally": {"kind"},
    "Identity": {"issuer", "subject"},
    "Instance": {
        *("name", "region", "kind", "url", "username", "encrypted_password", "api_key_id", "encrypted_api_key"),
        *("api_region", "registry_id", "api_address", "ca_certificate", "proxy", "pool", "hook_secret_hash"),
    },
    "LogLine": {"level", "repository"},
    "Notification": {"action", "repository", "tag", "digest", "actor"},
    "Preference": {"theme"},
    "RegionPair": {"source", "target"},
    "Removal": {"tag", "digest"},
    "SyncRule": {
        *("name", "description", "source_namespace", "repositories", "tags", "target_namespace", "pool"),
        *("exclude_repositories", "exclude_tags"),
        *("schedule", "schedule_zone", "webhook_url", "encrypted_webhook_secret", "suspension"),
    },
    "SyncTask": {"trigger", "actor", "status", "stopped_by"},
    "TagLock": {"repository", "tag", "claim"},
    "TagOrigin": {"repository", "tag", "digest"},
    "TaskPart": {"claim"},
    "TaskRepository": {"name", "target_name", "status"},
    "TaskResource": {
        *("tag", "kind", "outcome", "digest", "target_digest", "side", "operation", "code"),
    },
    "TaskTally": {"status"},
}


def test_every_text_is_known_to_tell_of_hosts_or_not():
    """A new column that holds what a registry said is a ReasonField; any other is listed above."""
    for model in apps.get_app_config("sync").get_models():
        texts = {
            field.name
            for field in model._meta.local_fields
            if isinstance(field, models.CharField | models.TextField) and not isinstance(field, ReasonField)
        }
        assert texts == PLAIN.get(model.__name__, set()), model.__name__
