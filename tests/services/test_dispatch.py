"""From what a registry tells to tasks of rules, and what these copy."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from sync.models import OPEN, Delivery, Notification, Removal, Status, SyncTask, TaskRepository, TaskResource, Trigger
from sync.services import lag
from sync.services.configure import delete_rule, switch_rule
from sync.services.dispatch import dispatch
from sync.services.trigger import MOST_SELECTED, join_push
from tests.replication.support import push, sign, some_chart, some_image, some_index
from tests.services.pushing import held, push_there, settle, tell, work_off
from tests.services.support import make_instance, make_rule, run
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff", "no_queue")]


@pytest.fixture
def no_queue(monkeypatch):
    """What would be asked of the queue."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr("sync.queue.enqueue_task", lambda *job: asked.append(job))
    monkeypatch.setattr("sync.queue.enqueue_dispatch", lambda: asked.append(("dispatch",)))
    return asked


def test_what_is_pushed_arrives_and_nothing_else(rule, guangzhou, frankfurt, namespace):
    push(guangzhou.url, f"{namespace}/web", "old", some_image())
    digest = push_there(guangzhou, f"{namespace}/web", "new")
    assert settle() == 1
    task = SyncTask.objects.get()
    assert (task.trigger, task.status, task.planned, task.copied) == (Trigger.PUSH, Status.SUCCEEDED, 1, 1)
    assert held(frankfurt, f"{namespace}/web", "new") == digest
    assert held(frankfurt, f"{namespace}/web", "old") == ""


def test_what_the_tag_holds_now_is_copied_whatever_was_told(rule, guangzhou, frankfurt, namespace):
    tell(guangzhou, f"{namespace}/web", "v1", f"sha256:{'0' * 64}")
    digest = push(guangzhou.url, f"{namespace}/web", "v1", some_image()).digest
    settle()
    assert held(frankfurt, f"{namespace}/web", "v1") == digest


@pytest.mark.parametrize(
    ("fields", "repository", "tag", "matches"),
    [
        ({}, "web", "v1", True),
        ({}, "deep/er/web", "v1", True),
        ({"repositories": "web"}, "web", "v1", True),
        ({"repositories": "web"}, "web2", "v1", False),
        ({"exclude_repositories": "w.*"}, "web", "v1", False),
        ({"tags": r"v\d+"}, "web", "v1", True),
        ({"tags": r"v\d+"}, "web", "v1.2", False),
        ({"exclude_tags": "v1"}, "web", "v1", False),
        ({"enabled": False}, "web", "v1", False),
        ({}, "web", "", False),
    ],
)
def test_rules_get_what_they_match(guangzhou, frankfurt, fields, repository, tag, matches):
    make_rule(guangzhou, frankfurt, source_namespace="prod", **fields)
    tell(guangzhou, f"prod/{repository}", tag, f"sha256:{'0' * 64}")
    tell(guangzhou, f"other/{repository}", tag)
    tell(frankfurt, f"prod/{repository}", tag)
    dispatch()
    expected = [[(f"prod/{repository}", tag)]] if matches else []
    assert [[(one["repository"], one["tag"]) for one in task.selection] for task in SyncTask.objects.all()] == expected


def test_a_type_that_the_rule_does_not_ask_for_stays(guangzhou, frankfurt, namespace):
    make_rule(guangzhou, frankfurt, source_namespace=namespace, charts=False)
    push(guangzhou.url, f"{namespace}/chart", "1.0.0", some_chart())
    tell(guangzhou, f"{namespace}/chart", "1.0.0")
    settle()
    assert held(frankfurt, f"{namespace}/chart", "1.0.0") == ""
    assert SyncTask.objects.get().repository_count == 0


def test_what_was_told_is_handled_once(rule, guangzhou):
    tell(guangzhou, f"{rule.source_namespace}/web", "v1")
    assert dispatch() == 1
    assert dispatch() == 0
    assert SyncTask.objects.count() == 1


def test_many_pushes_become_one_task_which_gathers_until_it_is_planned(
    rule, guangzhou, namespace, no_queue, django_capture_on_commit_callbacks
):
    for number in range(5):
        for tag in ("v1", "v2"):
            tell(guangzhou, f"{namespace}/web-{number}", tag)
        with django_capture_on_commit_callbacks(execute=True):
            dispatch()
    task = SyncTask.objects.get()
    assert len(task.selection) == 10
    assert len(no_queue) == 1
    task.start()  # somebody has begun, and waits for a side
    tell(guangzhou, f"{namespace}/web-0", "v3")
    dispatch()
    task.refresh_from_db()
    assert len(task.selection) == 11
    work_off()
    tell(guangzhou, f"{namespace}/web-0", "v4")
    dispatch()
    assert SyncTask.objects.count() == 2


@pytest.mark.parametrize("change", ["tags", "target", "stop"])
def test_pushes_do_not_join_what_would_not_bring_them(rule, guangzhou, namespace, change):
    tell(guangzhou, f"{namespace}/web", "v1")
    dispatch()
    if change == "stop":
        SyncTask.objects.update(stop_requested=True)
    elif change == "tags":
        rule.exclude_tags = "beta"
    else:
        rule.target = make_instance("paris", "http://paris.invalid")
    rule.save()
    tell(guangzhou, f"{namespace}/web", "v2")
    dispatch()
    assert [[one["tag"] for one in task.selection] for task in SyncTask.objects.order_by("pk")] == [["v1"], ["v2"]]


def test_of_very_many_tags_whole_repositories_are_looked_at(rule):
    first = timezone.now().timestamp()
    pushed = {(f"prod/web-{number % 3}", f"v{number}"): first + number for number in range(MOST_SELECTED + 1)}
    with transaction.atomic():
        task = join_push(rule, pushed).task
    assert task.selection == [{"repository": f"prod/web-{n}", "tag": "", "at": first + n} for n in range(3)]
    assert task.notified_at is not None
    assert task.notified_at.timestamp() == pytest.approx(first)


def test_a_namespace_that_five_rules_start_from_reaches_all_five(guangzhou, frankfurt, namespace):
    for number in range(5):
        make_rule(
            guangzhou,
            frankfurt,
            name=f"to-{number}",
            source_namespace=namespace,
            target_namespace=f"{namespace}-{number}",
        )
    digest = push_there(guangzhou, f"{namespace}/web", "v1")
    settle()
    assert {held(frankfurt, f"{namespace}-{number}/web", "v1") for number in range(5)} == {digest}


def test_a_signature_that_comes_later_travels_with_what_it_describes(rule, guangzhou, frankfurt, namespace):
    image = push(guangzhou.url, f"{namespace}/web", "v1", some_image())
    tell(guangzhou, f"{namespace}/web", "v1", image.digest)
    settle()
    sign(guangzhou.url, f"{namespace}/web", image)
    tag = f"sha256-{image.digest.removeprefix('sha256:')}"
    tell(guangzhou, f"{namespace}/web", tag)
    settle()
    assert [one["tag"] for one in SyncTask.objects.latest("pk").selection] == ["v1"]
    assert held(frankfurt, f"{namespace}/web", tag)


def test_deletions_concern_rules_that_ask_for_them(guangzhou, frankfurt):
    make_rule(guangzhou, frankfurt, name="keeps", source_namespace="prod")
    deletes = make_rule(guangzhou, frankfurt, name="deletes", source_namespace="prod", delete_removed=True)
    digest = f"sha256:{'1' * 64}"
    Delivery.objects.create(rule=deletes, target=frankfurt, repository="prod/web", tag="v2", digest=digest)
    tell(guangzhou, "prod/web", "v1", action=Notification.Action.DELETE)
    tell(guangzhou, "prod/web", "", digest, action=Notification.Action.DELETE)
    dispatch()
    task = SyncTask.objects.get()
    assert task.rule == deletes
    assert [one["tag"] for one in task.selection] == ["v1", "v2"]


def test_a_switched_off_rule_gets_later_pushes_only(rule, guangzhou, namespace):
    switch_rule(rule, enabled=False)
    tell(guangzhou, f"{namespace}/web", "v1")
    dispatch()
    switch_rule(rule, enabled=True)
    tell(guangzhou, f"{namespace}/web", "v2")
    dispatch()
    assert [one["tag"] for one in SyncTask.objects.get().selection] == ["v2"]


def test_a_rule_that_goes_takes_its_pushes_with_it(rule, guangzhou, namespace):
    tell(guangzhou, f"{namespace}/web", "v1")
    dispatch()
    delete_rule(rule)
    tell(guangzhou, f"{namespace}/web", "v2")
    assert dispatch() == 1
    assert not SyncTask.objects.filter(status__in=OPEN).exists()


def test_how_late_it_was_is_kept_and_counted(rule, guangzhou, namespace):
    for number in range(4):
        push(guangzhou.url, f"{namespace}/web", f"v{number}", some_image())
        tell(guangzhou, f"{namespace}/web", f"v{number}", received_at=timezone.now() - timedelta(seconds=100 * number))
    dispatch()
    assert lag.oldest_waiting([rule.pk])[rule.pk] < timezone.now() - timedelta(seconds=299)
    work_off()
    lags = dict(TaskResource.objects.values_list("tag", "lag_seconds"))
    assert [round(lags[f"v{number}"] or 0, -2) for number in range(4)] == [0, 100, 200, 300]
    lag.refresh()
    rule.refresh_from_db()
    assert [round(value or 0, -2) for value in (rule.lag_median, rule.lag_p95, rule.lag_worst)] == [100, 300, 300]
    assert lag.oldest_waiting([rule.pk]) == {}


def test_a_day_later_nothing_of_it_counts(rule, guangzhou, namespace):
    push_there(guangzhou, f"{namespace}/web", "v1")
    settle()
    lag.refresh()
    day = timedelta(days=1, seconds=1)
    rule.lags.update(at=timezone.now() - day)
    type(rule).objects.update(lag_counted_at=timezone.now() - day)
    lag.refresh()
    rule.refresh_from_db()
    assert (rule.lag_median, rule.lag_worst, rule.lags.count()) == (None, None, 0)


def test_what_was_not_pushed_has_no_lag(rule, guangzhou, namespace):
    push(guangzhou.url, f"{namespace}/web", "v1", some_image())
    run(rule)
    assert TaskResource.objects.get().lag_seconds is None
    assert not rule.lags.exists()


def test_a_push_lists_nothing_of_the_source_and_brings_signatures_all_the_same(guangzhou, frankfurt, namespace):
    image = push(guangzhou.url, f"{namespace}/web", "v1", some_index())
    sign(guangzhou.url, f"{namespace}/web", image)
    with Relay(guangzhou.url) as relay:
        between = make_instance("between", relay.url)
        make_rule(between, frankfurt, source_namespace=namespace, others=True)
        tell(between, f"{namespace}/web", "v1", image.digest)
        settle()
        assert not [one.target for one in relay.requests if "/tags/list" in one.target or "_catalog" in one.target]
    assert held(frankfurt, f"{namespace}/web", f"sha256-{image.digest.removeprefix('sha256:')}")


def test_a_fault_over_one_rule_takes_nothing_from_the_others(guangzhou, frankfurt, monkeypatch):
    for name in ("bad", "good"):
        make_rule(guangzhou, frankfurt, name=name, source_namespace="prod")
    join = join_push

    def fall(rule, pushed):
        if rule.name == "bad":
            raise ZeroDivisionError
        return join(rule, pushed)

    monkeypatch.setattr("sync.services.dispatch.join_push", fall)
    tell(guangzhou, "prod/web", "v1")
    assert dispatch() == 1
    tasks = {task.rule_name: task.selection for task in SyncTask.objects.all()}
    assert tasks["bad"] == []  # it looks at everything instead
    assert [one["tag"] for one in tasks["good"]] == ["v1"]


def test_a_signature_of_what_the_rule_leaves_out_starts_nothing(guangzhou, frankfurt, namespace):
    make_rule(guangzhou, frankfurt, source_namespace=namespace, tags="v.*")
    push(guangzhou.url, f"{namespace}/web", "v1", some_image())  # older than the rule: nobody told of it
    dev = push(guangzhou.url, f"{namespace}/web", "dev", some_image())
    tell(guangzhou, f"{namespace}/web", "dev", dev.digest)
    for digest in (dev.digest, f"sha256:{'1' * 64}"):
        tell(guangzhou, f"{namespace}/web", f"{digest.replace(':', '-')}.sig", f"sha256:{'2' * 64}")
    settle()
    assert not SyncTask.objects.exists()


def test_a_task_that_asks_about_deletions_has_no_push_on_its_way(rule):
    told_at = timezone.now() - timedelta(hours=5)
    with transaction.atomic():
        task = join_push(rule, {("prod/web", "v1"): told_at.timestamp()}).task
    assert rule.pk in lag.oldest_waiting([rule.pk])
    task.parts.all().delete()
    repository = TaskRepository.objects.create(task=task, name="prod/web", target_name="prod/web")
    Removal.objects.create(task=task, repository=repository, tag="v1", digest="d")
    assert lag.oldest_waiting([rule.pk]) == {}
