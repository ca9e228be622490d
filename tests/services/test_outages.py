"""Registries that do not answer: nothing fails, everything for them waits, and goes on by itself."""

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from demo.registries import free_port
from sync.models import Instance, LogLine, Status, SyncTask, TaskPart, TaskResource
from sync.services import outages, waiting
from sync.services.configure import save_instance
from sync.services.execute import run_slice
from sync.services.trial import test_connection as try_connection
from sync.services.trigger import stop_task
from tests.fakes.registry import Answer, FakeRegistry
from tests.replication.support import push, some_image
from tests.services.support import (
    assert_sums_agree,
    make_due,
    make_rule,
    open_here,
    reached_at,
    swept,
    task_with_rows,
    work,
)
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


def nobody_there() -> str:
    return f"http://127.0.0.1:{free_port()}"


def next_try_in(instance: Instance) -> float:
    """Seconds until the instance is asked again."""
    instance.refresh_from_db()
    assert instance.next_try_at is not None
    return (instance.next_try_at - timezone.now()).total_seconds()


def time_passes(instance: Instance, **away: float) -> None:
    """The instance has been away for so long, and its next try is due."""
    now = timezone.now()
    Instance.objects.filter(pk=instance.pk).update(down_since=now - timedelta(**away), next_try_at=now)


@pytest.mark.parametrize("side", ["source", "target"])
def test_nothing_fails_and_the_task_says_who_is_away(side, rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    instance = getattr(rule, side)
    reached_at(instance, nobody_there())
    task = open_here(rule)
    assert work(task) is False
    assert (task.status, task.failed, task.parts.get().claim) == (Status.SYNCHRONIZING, 0, "")
    assert task.reason.startswith(f"{side.capitalize()} {instance.name}: cannot reach the registry: ")
    assert 0 < next_try_in(instance) <= 5
    assert instance.down_since is not None
    assert "refused" in instance.down_reason
    (line,) = LogLine.objects.filter(task=task, level="warning")
    assert "goes on by itself when it answers again" in line.message
    assert swept() == []
    Instance.objects.update(next_try_at=timezone.now())
    assert swept() == [task]


def test_many_tries_later_nothing_has_failed_and_the_log_says_it_once(rule):
    reached_at(rule.target, nobody_there())
    task = task_with_rows(rule, "prod/web", tags=["v1"])
    for _ in range(4):
        assert work(task) is False
        time_passes(rule.target, hours=1)
    assert (task.is_open, task.failed) == (True, 0)
    assert list(TaskPart.objects.values_list("tries", "lost_owners", "claim")) == [(0, 0, "")]
    assert LogLine.objects.filter(task=task, level="warning").count() == 1


@pytest.mark.parametrize("side", ["source", "target"])
def test_other_tasks_for_it_ask_nothing_meanwhile(side, rule):
    with FakeRegistry() as away:
        away.script("GET", "/", Answer(503))
        instance = getattr(rule, side)
        reached_at(instance, away.url)
        first = open_here(rule)
        assert work(first) is False
        asked = len(away.requests)
        assert asked > 0
        other = open_here(make_rule(rule.source, rule.target, name="other", source_namespace="elsewhere"))
        for task in (other, first):
            assert work(task) is False
            assert task.is_open
        assert len(away.requests) == asked
    assert other.reason == first.reason


def test_when_its_time_has_come_one_asks_and_all_others_wait(rule):
    time_passes(rule.target, minutes=1)
    assert outages.may_ask(Instance.objects.get(pk=rule.target.pk))
    assert not outages.may_ask(Instance.objects.get(pk=rule.target.pk))


@pytest.mark.parametrize(("away", "wait"), [({"seconds": 2}, 5), ({"minutes": 2}, 30), ({"hours": 10}, 900)])
def test_the_longer_it_is_away_the_less_often_it_is_asked(away, wait, rule):
    reached_at(rule.target, nobody_there())
    task = open_here(rule)
    time_passes(rule.target, **away)
    assert work(task) is False
    assert wait - 5 < next_try_in(rule.target) <= wait + 5


def test_it_goes_on_by_itself_when_the_registry_is_back(rule, namespace, source, judge, start_registry):
    image = push(source, f"{namespace}/web", "v1", some_image())
    port = free_port()
    reached_at(rule.target, f"http://127.0.0.1:{port}")
    task = open_here(rule)
    assert work(task) is False
    assert task.reason
    assert task.waits_since is not None
    SyncTask.objects.update(waits_since=task.waits_since - timedelta(minutes=1))
    registry = start_registry(port=port)
    time_passes(rule.target, minutes=1)
    assert swept() == [task]
    assert work(task) is False
    assert (task.status, task.copied, task.failed, task.reason) == (Status.SUCCEEDED, 1, 0, "")
    assert task.waits_since is None
    assert 60 <= task.waited <= 80
    assert judge.digest(registry.url, f"{namespace}/web:v1") == image.digest
    assert LogLine.objects.filter(task=task, message__contains="answer again").exists()
    rule.target.refresh_from_db()
    assert (rule.target.down_since, rule.target.next_try_at, rule.target.down_reason) == (None, None, "")


def test_it_goes_on_without_what_it_waited_for_though_some_of_it_failed(rule, namespace, source, target, settings):
    settings.RESOURCES_AT_ONCE = 1
    push(source, f"{namespace}/web", "v1", some_image())
    task = task_with_rows(rule, f"{namespace}/web", tags=["v1"])
    SyncTask.objects.update(failed=1, planned=2)
    reached_at(rule.target, nobody_there())
    assert work(task) is False
    assert "cannot reach the registry" in task.reason and task.failed == 1
    reached_at(rule.target, target)
    time_passes(rule.target, minutes=1)
    seen = []
    run_slice(SyncTask.objects.get(pk=task.pk), patient=True, watch=lambda now: seen.append(now.reason))
    task.refresh_from_db()
    assert seen and not any(seen)
    assert (task.status, task.reason, task.waits_since) == (Status.PARTIAL, "", None)


def test_what_one_worker_waited_for_while_others_went_on_is_no_reason_of_the_end(rule, namespace, source):
    """It looked in while an instance was away for a moment, and the others brought the rest."""
    push(source, f"{namespace}/web", "v1", some_image())
    task = open_here(rule)

    def look_in(_):
        if SyncTask.objects.filter(pk=task.pk, waits_since=None).exists():
            waiting.begin(task, "Target frankfurt: cannot reach the registry.")
            now = SyncTask.objects.get(pk=task.pk)
            assert now.reason and now.standing_reason == ""

    work(task, watch=look_in)
    assert (task.status, task.copied, task.reason, task.waits_since) == (Status.SUCCEEDED, 1, "", None)


def test_a_target_that_dies_in_the_middle_fails_nothing(rule, namespace, source, target, settings):
    settings.RESOURCES_AT_ONCE = 1
    for number in range(6):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    task, dead = open_here(rule), threading.Event()
    with Relay(target) as relay:

        def until_the_first_tag(request):
            answer = Answer(503) if dead.is_set() else relay.forward(request)
            if request.method == "PUT" and "/manifests/v" in request.target:
                dead.set()
            return answer

        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            relay.script(method, "/", until_the_first_tag)
        reached_at(rule.target, relay.url)
        while work(task):
            assert task.is_open
        assert (task.is_open, task.planned, task.copied, task.failed) == (True, 6, 1, 0)
        assert_sums_agree(task)
        dead.clear()
        relay.script("PUT", "/", relay.forward)
        time_passes(rule.target, minutes=1)
        make_due(task)
        while work(task):
            assert task.is_open
    assert (task.status, task.planned, task.copied, task.failed) == (Status.SUCCEEDED, 6, 6, 0)
    assert_sums_agree(task)


def test_saving_the_instance_ends_the_waiting(rule, target):
    reached_at(rule.target, nobody_there())
    task = open_here(rule)
    work(task)
    assert swept() == []
    rule.target.refresh_from_db()
    rule.target.url = target
    save_instance(rule.target, None)
    assert swept() == [task]
    assert work(task) is False
    assert task.status == Status.SUCCEEDED


@pytest.mark.parametrize("answers", [True, False])
def test_a_connection_test_ends_the_waiting_if_it_is_good(answers, rule, target):
    task = open_here(rule)
    reached_at(rule.target, nobody_there())
    work(task)
    if answers:
        Instance.objects.filter(pk=rule.target.pk).update(url=target)
    findings = try_connection(Instance.objects.get(pk=rule.target.pk))
    assert findings[0].ok is answers
    assert swept() == ([task] if answers else [])


def test_after_the_time_limit_what_waits_fails_with_the_reason(rule, settings):
    settings.OUTAGE_HOURS = 24
    reached_at(rule.target, nobody_there())
    task = task_with_rows(rule, "prod/web", tags=["v1", "v2"])
    work(task)
    time_passes(rule.target, hours=25)
    assert swept() == [task]
    task.refresh_from_db()
    assert task.is_open, "it has not waited itself for so long"
    SyncTask.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert swept() == []
    task.refresh_from_db()
    assert (task.status, task.planned, task.failed, task.parts.count()) == (Status.FAILED, 2, 2, 0)
    (reason,) = set(TaskResource.objects.values_list("reason", flat=True))
    assert "Target frankfurt: cannot reach the registry" in reason
    assert "24 hours" in reason
    assert_sums_agree(task)


def test_after_the_time_limit_a_task_that_was_never_planned_fails_with_the_reason(rule, settings):
    reached_at(rule.source, nobody_there())
    task = open_here(rule)
    work(task)
    time_passes(rule.source, hours=settings.OUTAGE_HOURS + 1)
    SyncTask.objects.update(created_at=timezone.now() - timedelta(hours=settings.OUTAGE_HOURS + 1))
    assert swept() == []
    task.refresh_from_db()
    assert (task.status, task.repository_count) == (Status.FAILED, None)
    assert "Source guangzhou: cannot reach the registry" in task.reason


def test_a_task_that_waits_for_an_instance_is_stopped_at_once(rule):
    reached_at(rule.target, nobody_there())
    task = open_here(rule)
    work(task)
    assert stop_task(task)
    assert (task.status, task.parts.count()) == (Status.STOPPED, 0)


@pytest.mark.parametrize("before", [None, False])
def test_a_task_that_works_tells_the_health_of_its_instances(before, rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    Instance.objects.update(healthy=before, health_reason="Once it was refused.")
    work(open_here(rule))
    assert set(Instance.objects.values_list("healthy", "health_reason")) == {(True, "")}
    told = timezone.now() - timedelta(minutes=1)
    Instance.objects.update(checked_at=told)
    work(open_here(rule))
    assert set(Instance.objects.values_list("checked_at", flat=True)) == {told}


PAGE_OF_HTML = Answer(404, {"Content-Type": "text/html"}, b"<html>")


@pytest.mark.parametrize(
    ("side", "path", "answer"),
    [("source", "/v2/", PAGE_OF_HTML), ("target", "/v2/", PAGE_OF_HTML), ("source", "/v2/_catalog", Answer(403))],
)
def test_what_a_task_meets_at_the_instance_as_a_whole_is_its_health(side, path, answer, rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    instance = getattr(rule, side)
    with Relay(source) as relay:
        relay.script("GET", path, answer)
        address = instance.url
        reached_at(instance, relay.url)
        time_passes(instance, minutes=5)
        task = open_here(rule)
        work(task)
    assert task.status == Status.FAILED
    instance.refresh_from_db()
    assert instance.down_since is None, "it is not waited for, and not told as away"
    assert (instance.healthy, instance.health_reason in task.reason) == (False, True)
    assert instance.health_reason.startswith(f"{side.capitalize()} {instance.name}: ") and instance.checked_at
    reached_at(instance, address)
    work(open_here(rule))
    instance.refresh_from_db()
    assert (instance.healthy, instance.health_reason) == (True, "")


def test_what_was_found_before_an_instance_was_changed_says_nothing_any_more(rule):
    Instance.objects.filter(pk=rule.target.pk).update(healthy=False, health_reason="Refused.", latency_ms=3)
    rule.target.refresh_from_db()
    rule.target.region = "mars"
    save_instance(rule.target, None)
    assert Instance.objects.filter(pk=rule.target.pk, healthy=False).exists(), "it is reached as before"
    rule.target.url = nobody_there()
    save_instance(rule.target, None)
    rule.target.refresh_from_db()
    assert (rule.target.healthy, rule.target.health_reason, rule.target.checked_at) == (None, "", None)


def test_why_a_task_failed_as_a_whole_stands_in_its_log_as_an_error(rule):
    rule.source.url = nobody_there()
    rule.source.save()
    task = open_here(rule)
    run_slice(task)
    (said,) = LogLine.objects.filter(task=task, level=LogLine.Level.ERROR)
    assert said.message == task.reason and "Source guangzhou" in said.message
