"""What migrations do to data that is there."""

from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from sync.models import Announcement, SyncRule

TASK = {"snapshot": {}, "trigger": "manual"}


@pytest.mark.django_db(transaction=True)
def test_tasks_that_were_open_under_the_earlier_division_of_work_begin_again():
    executor = MigrationExecutor(connection)
    newest = executor.loader.graph.leaf_nodes()
    old = executor.migrate([("sync", "0001_initial")]).apps
    try:
        ended, running = (_with_a_repository(old, status) for status in ("succeeded", "synchronizing"))
    finally:
        executor = MigrationExecutor(connection)
        new = executor.migrate(newest).apps
    task, part, repository = (new.get_model("sync", name) for name in ("SyncTask", "TaskPart", "TaskRepository"))
    begun = task.objects.get(pk=running)
    assert (begun.status, begun.repository_count, begun.planned, begun.copied) == ("synchronizing", None, 0, 0)
    assert list(part.objects.values_list("task", "repository", "tags", "claim")) == [(running, None, None, "")]
    assert list(repository.objects.values_list("task", "copied")) == [(ended, 2)]
    assert task.objects.get(pk=ended).copied == 2


def _with_a_repository(apps: Any, status: str) -> int:
    counts = {"planned": 3, "copied": 2}
    task = apps.get_model("sync", "SyncTask").objects.create(**TASK, status=status, repository_count=1, **counts)
    repositories = apps.get_model("sync", "TaskRepository").objects
    repositories.create(task=task, name="prod/web", target_name="prod/web", status=status, **counts)
    return int(task.pk)


@pytest.mark.django_db(transaction=True)
def test_addresses_of_webhooks_are_sealed_and_rules_of_administrators_stand_on_them():
    url = "https://hook.example/in?key=1"
    executor = MigrationExecutor(connection)
    newest = executor.loader.graph.leaf_nodes()
    old = executor.migrate([("sync", "0021_private_addresses")]).apps
    try:
        root = old.get_model("auth", "User").objects.create(username="root", is_superuser=True)
        instance = old.get_model("sync", "Instance").objects.create(name="a", region="x", url="https://a.example")
        rule = {"source_id": instance.pk, "target_id": instance.pk, "source_namespace": "prod", "webhook_url": url}
        rules = old.get_model("sync", "SyncRule").objects
        saved = rules.create(name="saved", owner=root, by_platform=True, **rule)
        loaded = rules.create(name="loaded", owner=None, by_platform=True, **rule)
        task = old.get_model("sync", "SyncTask").objects.create(**TASK, rule=saved)
        old.get_model("sync", "Announcement").objects.create(rule=saved, task=task, url=url)
    finally:
        MigrationExecutor(connection).migrate(newest)
    assert SyncRule.objects.get(pk=saved.pk).by_platform is False
    assert SyncRule.objects.get(pk=loaded.pk).by_platform is True
    assert {rule.webhook_url for rule in SyncRule.objects.all()} == {url}
    assert Announcement.objects.get().url == "https://hook.example"
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_url FROM sync_syncrule")
        assert not any("hook.example" in stored for (stored,) in cursor.fetchall())
