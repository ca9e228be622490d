"""The admin for support staff."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sync.admin import COUNTED_ROWS, BoundedPaginator
from sync.models import Delivery, Instance, Notification, SyncRule, SyncTask, TaskRepository, TaskResource
from tests.pages.html import texts
from tests.pages.test_tasks import make_repository, make_task

READ_ONLY = [SyncTask, TaskRepository, TaskResource, Delivery, Notification]
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def task(rule: SyncRule) -> SyncTask:
    rule.source.password = "marker-of-a-password"
    rule.source.save()
    task = make_task(rule)
    make_repository(task, "prod/web").resources.create(tag="1.0", outcome="copied", digest=DIGEST)
    Delivery.objects.create(rule=rule, repository="prod/web", tag="1.0", digest=DIGEST)
    Notification.objects.create(instance=rule.source, repository="prod/web", tag="1.0", digest=DIGEST)
    return task


def list_of(model, **query):
    return reverse(f"admin:sync_{model._meta.model_name}_changelist", query=query)


def test_every_model_is_registered_and_its_pages_open(console, task):
    for model in (Instance, SyncRule, *READ_ONLY):
        assert model in admin.site._registry
        row = model._default_manager.latest("pk")
        page = console.get(list_of(model))
        assert page.status_code == 200 and page.context["cl"].result_list
        assert console.get(reverse(f"admin:sync_{model._meta.model_name}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY)
def test_what_happened_cannot_be_changed(console, task, model):
    name = f"admin:sync_{model._meta.model_name}"
    pk = model.objects.get().pk
    assert console.get(reverse(f"{name}_add")).status_code == 403
    assert console.post(reverse(f"{name}_change", args=[pk]), {"status": "failed"}).status_code == 403
    assert console.post(reverse(f"{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("model", "term"),
    [
        (SyncTask, "web"),
        (SyncTask, "prod/web"),
        (SyncTask, DIGEST),
        (TaskRepository, "prod/web"),
        (TaskResource, DIGEST),
        (TaskResource, "prod/web"),
        (Delivery, DIGEST),
        (Delivery, "web"),
        (Notification, "prod/web"),
        (SyncRule, "web"),
    ],
)
def test_search(console, task, model, term):
    assert console.get(list_of(model, q=term)).context["cl"].result_count == 1
    assert console.get(list_of(model, q="sha256:elsewhere")).context["cl"].result_count == 0


def test_search_by_task_id(console, task):
    make_task(task.rule)
    for model in (SyncTask, TaskRepository, TaskResource):
        assert console.get(list_of(model, q=str(task.pk))).context["cl"].result_count == 1


def test_a_task_is_found_by_the_name_of_its_deleted_rule(console, task):
    task.rule.delete()
    assert console.get(list_of(SyncTask, q="web")).context["cl"].result_count == 1


def test_no_password_is_shown(console, task):
    instance = Instance.objects.get(name="prod-gz")
    for url in (list_of(Instance), reverse("admin:sync_instance_change", args=[instance.pk])):
        page = console.get(url).content.decode()
        assert "marker-of-a-password" not in page and instance.encrypted_password not in page


@pytest.mark.parametrize("model", READ_ONLY)
def test_large_tables_are_not_counted(console, task, model):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        console.get(list_of(model))
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and model._meta.db_table in query["sql"]]
    assert counts and all(f"LIMIT {COUNTED_ROWS}" in sql for sql in counts)


def test_the_count_ends_at_its_bound(task, monkeypatch):
    monkeypatch.setattr("sync.admin.COUNTED_ROWS", 3)
    for _ in range(5):
        make_task(task.rule)
    assert BoundedPaginator(SyncTask.objects.order_by("pk"), 2).count == 3


def test_a_rule_deleted_here_stops_its_task(console, rule):
    task = make_task(rule, "waiting")
    console.post(reverse("admin:sync_syncrule_delete", args=[rule.pk]), {"post": "yes"})
    task.refresh_from_db()
    assert (task.status, task.rule) == ("stopped", None)


def test_the_admin_is_for_staff(client, db):
    assert client.get("/admin/").status_code == 302
    assert "Instance synchronization" not in texts(client.get("/admin/", follow=True).content.decode(), "a")
