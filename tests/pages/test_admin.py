"""The admin for support staff."""

import copy
import itertools
import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.base import ModelState
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from sync.admin.base import COUNTED_ROWS, BoundedPaginator
from sync.models import (
    Delivery,
    Instance,
    LogLine,
    Notification,
    SyncRule,
    SyncTask,
    TaskPart,
    TaskRepository,
    TaskResource,
)
from sync.services import grants
from sync.services.grants import Right
from tests.pages.html import attributes, by_id, texts
from tests.pages.test_tasks import make_repository, make_task

LARGE = [SyncTask, TaskRepository, TaskPart, TaskResource, LogLine, Delivery, Notification]
READ_ONLY = [Instance, *LARGE]
DIGEST = "sha256:" + "a" * 64
# SQLite's word for it; in PostgreSQL a scan of a table that no condition on an index limits.
WHOLE_TABLE = re.compile(r"\bSCAN \w+|Scan[^\n]* on sync_[^\n]*(\n(?! *(Index|Recheck) Cond:)|\Z)")


@pytest.fixture
def task(rule: SyncRule) -> SyncTask:
    rule.source.password = "marker-of-a-password"
    rule.source.save()
    task = make_task(rule)
    make_repository(task, "prod/web").resources.create(tag="1.0", outcome="copied", digest=DIGEST)
    task.parts.create(claim="a-worker", heartbeat_at=timezone.now(), tags=["1.0"])
    task.log.create(message="Started.")
    Delivery.objects.create(rule=rule, target=rule.target, repository="prod/web", tag="1.0", digest=DIGEST)
    Notification.objects.create(instance=rule.source, repository="prod/web", tag="1.0", digest=DIGEST)
    return task


def list_of(model, **query):
    return reverse(f"admin:sync_{model._meta.model_name}_changelist", query=query)


def test_every_model_is_registered_and_its_pages_open(console, task):
    for model in (SyncRule, *READ_ONLY):
        assert model in admin.site._registry
        row = model._default_manager.latest("pk")
        page = console.get(list_of(model))
        assert page.status_code == 200 and page.context["cl"].result_list
        assert console.get(reverse(f"admin:sync_{model._meta.model_name}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY)
def test_instances_and_what_happened_cannot_be_changed(console, task, model):
    name = f"admin:sync_{model._meta.model_name}"
    pk = model.objects.latest("pk").pk
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
        (Delivery, "prod/web"),
        (Notification, "prod/web"),
        (SyncRule, "web"),
    ],
)
def test_search(console, task, model, term):
    assert console.get(list_of(model, q=term)).context["cl"].result_count == 1
    assert console.get(list_of(model, q="sha256:elsewhere")).context["cl"].result_count == 0


def test_search_by_task_id(console, task):
    make_task(task.rule)
    for model in (SyncTask, TaskRepository, TaskPart, TaskResource, LogLine):
        assert console.get(list_of(model, q=str(task.pk))).context["cl"].result_count == 1


@pytest.mark.parametrize("model", [TaskPart, LogLine])
def test_parts_and_log_lines_are_found_by_their_task_alone(console, task, model):
    assert console.get(list_of(model, q="a-worker")).context["cl"].result_count == 0


def test_who_holds_a_part_and_how_long_an_instance_is_away_can_be_seen(console, task):
    Instance.objects.filter(pk=task.source.pk).update(down_since=timezone.now(), down_reason="It hung up.")
    assert "a-worker" in texts(console.get(list_of(TaskPart)).content.decode(), "td")
    page = console.get(reverse("admin:sync_instance_change", args=[task.source.pk])).content.decode()
    assert "It hung up." in texts(page, "div")


def test_a_number_is_also_looked_for_as_a_name(console, task):
    numbered = SyncRule.objects.create(name=str(task.pk), source=task.source, source_namespace="a", target=task.target)
    of_rule, of_repository = make_task(numbered), make_task(task.rule)
    make_repository(of_repository, str(task.pk))
    found = console.get(list_of(SyncTask, q=str(task.pk))).context["cl"].result_list
    assert {row.pk for row in found} == {task.pk, of_rule.pk, of_repository.pk}


def test_no_number_is_too_large_to_look_for(console, task):
    assert console.get(list_of(SyncTask, q="9" * 5000)).context["cl"].result_count == 0


@pytest.mark.parametrize("model", [SyncTask, TaskResource, Delivery, Notification])
def test_search_by_the_beginning_of_a_digest(console, task, model):
    for term, found in (("a" * 12, 1), ("sha256:" + "a" * 12, 1), ("a" * 11, 0), ("a" * 12 + "b", 0)):
        assert console.get(list_of(model, q=term)).context["cl"].result_count == found


@pytest.mark.parametrize(
    ("model", "terms"),
    [
        (SyncTask, ["web", "prod/web", "7", DIGEST]),
        (TaskRepository, ["prod/web", "7"]),
        (TaskPart, ["7"]),
        (LogLine, ["7"]),
        (TaskResource, ["prod/web", "7", DIGEST]),
        (Delivery, ["web", "prod/web", DIGEST]),
    ],
)
def test_search_reads_no_whole_table(task, model, terms):
    """With scans, hash and merge joins discouraged, PostgreSQL reads a whole table only where no index serves."""
    if connection.vendor == "postgresql":
        for large in LARGE:
            _fill(large)
        with connection.cursor() as cursor:
            for way in ("seqscan", "hashjoin", "mergejoin"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
    for term in terms:
        found, _ = admin.site._registry[model].get_search_results(HttpRequest(), model.objects.order_by(), term)
        plan = found.explain()
        assert not WHOLE_TABLE.search(plan), plan


def _fill(model):
    """With a thousand rows more, and the planner told: of a table of one row any plan costs the same."""
    row = model.objects.get()
    tasks, repositories = (
        itertools.cycle(parent.objects.values_list("pk", flat=True)) for parent in (SyncTask, TaskRepository)
    )
    rows = []
    for number in range(1000):
        other = copy.copy(row)
        other.pk, other._state = None, ModelState()
        for name, value in _apart(model, number, task_id=next(tasks), repository_id=next(repositories)).items():
            setattr(other, name, value)
        rows.append(other)
    model.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {model._meta.db_table}")


def _apart(model, number, **parents):
    """What a row of the model must have of its own, and what else a search looks for."""
    columns = {field.attname for field in model._meta.concrete_fields}
    digest = f"sha256:{number:064x}"
    apart = parents | {"name": f"other/{number}", "repository": f"other/{number}", "tag": str(number), "digest": digest}
    return {name: value for name, value in apart.items() if name in columns}


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (SyncRule, {"webhook_url__startswith": "https://hooks"}),
        (Instance, {"encrypted_password__startswith": "g"}),
        (Instance, {"proxy__contains": "inner"}),
        (LogLine, {"message__contains": "Started"}),
        (TaskResource, {"reason__contains": "inner"}),
        (TaskResource, {"repository__task__target__url__contains": "inner"}),
    ],
)
def test_an_address_cannot_ask_for_what_is_no_filter(console, task, model, asked):
    """Neither yes nor no is answered."""
    assert console.get(list_of(model, **asked)).status_code == 400
    assert console.get(list_of(SyncTask, status__exact="succeeded")).context["cl"].result_count == 1


def test_no_password_is_shown(console, task):
    instance = Instance.objects.get(name="prod-gz")
    for url in (list_of(Instance), reverse("admin:sync_instance_change", args=[instance.pk])):
        page = console.get(url).content.decode()
        assert "marker-of-a-password" not in page and instance.encrypted_password not in page


@pytest.mark.parametrize("model", LARGE)
def test_large_tables_are_not_counted(console, task, model):
    with CaptureQueriesContext(connection) as queries:
        console.get(list_of(model, _facets=""))
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and model._meta.db_table in query["sql"]]
    assert counts and all(f"LIMIT {COUNTED_ROWS}" in sql for sql in counts)


def test_the_count_ends_at_its_bound(task, monkeypatch):
    monkeypatch.setattr("sync.admin.base.COUNTED_ROWS", 3)
    for _ in range(5):
        make_task(task.rule)
    assert BoundedPaginator(SyncTask.objects.order_by("pk"), 2).count == 3


def test_a_rule_that_has_brought_something_can_be_deleted_here(console, rule):
    Delivery.objects.create(rule=rule, target=rule.target, repository="a", tag="v1", digest=f"sha256:{'0' * 64}")
    response = console.post(reverse("admin:sync_syncrule_delete", args=[rule.pk]), {"post": "yes"})
    assert response.status_code == 302
    assert not SyncRule.objects.exists()


def test_a_rule_deleted_here_stops_its_task(console, rule):
    task = make_task(rule, "waiting")
    console.post(reverse("admin:sync_syncrule_delete", args=[rule.pk]), {"post": "yes"})
    task.refresh_from_db()
    assert (task.status, task.rule) == ("stopped", None)


def test_the_admin_is_for_staff(client, db):
    assert client.get("/admin/").status_code == 302
    assert "Instance synchronization" not in texts(client.get("/admin/", follow=True).content.decode(), "a")


def test_its_start_page_asks_where_an_image_is_and_has_the_console_before_other_apps(console, rule):
    page = console.get("/admin/").content.decode()
    form = attributes(by_id(page, "where"))
    assert (form["action"], form["method"]) == (reverse("admin-where"), "get")
    assert texts(page, "caption") == ["Instance synchronization", "Authentication and Authorization", "Queue"]


@pytest.fixture
def support(client, rule, task) -> User:
    user = User.objects.create_user("support", is_staff=True)
    client.force_login(user)
    return user


@pytest.mark.parametrize("model", [SyncRule, *READ_ONLY])
def test_support_staff_see_what_their_roles_let_them_see(client, support, rule, task, model):
    assert not client.get(list_of(model)).context["cl"].result_list
    grants.grant(Right.VIEW, support, rule.source)
    assert client.get(list_of(model)).context["cl"].result_list
    row = model._default_manager.latest("pk")
    page = client.get(reverse(f"admin:sync_{model._meta.model_name}_change", args=[row.pk]))
    assert page.status_code == (302 if model is Instance and row == rule.target else 200)
    assert 'name="_save"' not in page.content.decode(), "to look at only"


def act(client, model, action, row):
    return client.post(list_of(model), {"action": action, "_selected_action": [row.pk]}, follow=True).content.decode()


def test_an_operator_acts_through_the_services(client, support, rule, task):
    grants.grant(Right.OPERATE, support, rule.source)
    assert f"Disabled: {rule}." in act(client, SyncRule, "disable", rule)
    rule.refresh_from_db()
    assert not rule.enabled
    assert f"Enabled: {rule}." in act(client, SyncRule, "enable", rule)
    running = make_task(rule, "waiting")
    assert f"Asked to stop: {running}." in act(client, SyncTask, "stop", running)
    running.refresh_from_db()
    assert running.stop_requested and running.stopped_by == "support"
    done, failed = make_task(rule, repository_count=1), make_task(rule, "failed")
    assert f"Nothing was done with: {done}." in act(client, SyncTask, "retry_failed", done)
    assert f"Retried: {failed}." in act(client, SyncTask, "retry_failed", failed)
    act(client, Instance, "test_connection", rule.source)
    rule.source.refresh_from_db()
    assert rule.source.healthy is False and rule.source.checked_at


def test_who_may_only_look_does_nothing(client, support, rule, task):
    grants.grant(Right.VIEW, support, rule.source)
    assert f"Nothing was done with: {rule}." in act(client, SyncRule, "disable", rule)
    rule.refresh_from_db()
    assert rule.enabled


def test_the_queues_are_for_platform_administrators(client, support):
    assert client.get("/admin/django_rq/dashboard/").status_code == 403
