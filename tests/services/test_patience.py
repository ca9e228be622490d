"""Failures that waiting may heal: what they hit waits with the reason, is tried again, and fails only after that."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import LogLine, Status, SyncTask, TaskPart, TaskResource
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import assert_sums_agree, make_due, open_here, reached_at, run, swept, work
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]

PUT_OFF_SECONDS = 600.0


@pytest.fixture(autouse=True)
def _long_waits(settings):
    settings.PUT_OFF_SECONDS = PUT_OFF_SECONDS


@pytest.fixture
def task(rule, namespace, source) -> SyncTask:
    """A task over two tags, `bad` and `good`, of one repository."""
    for tag in ("bad", "good"):
        push(source, f"{namespace}/web", tag, some_image())
    return open_here(rule)


@pytest.fixture
def relay(rule, target):
    """The target; what is to fail is scripted."""
    with Relay(target) as relay:
        reached_at(rule.target, relay.url)
        yield relay


def waits_for(seconds: float) -> bool:
    """Whether the one part that is left waits for about so long."""
    not_before = TaskPart.objects.get().not_before
    assert not_before is not None
    left = (not_before - timezone.now()).total_seconds()
    return seconds - 30 < left <= seconds


def bad(namespace: str) -> str:
    return f"/v2/{namespace}/web/manifests/bad"


def test_what_may_heal_waits_with_its_reason_and_heals(task, relay, rule, namespace, source, target, judge):
    relay.script("PUT", bad(namespace), Answer(500))
    assert work(task) is False
    assert (task.is_open, task.planned, task.copied, task.failed) == (True, 2, 1, 0)
    row = task.repositories.get()
    assert (row.status, TaskPart.objects.get().tags) == (Status.WAITING, ["bad"])
    assert row.reason.startswith("bad: Target frankfurt: cannot write manifest")
    assert "500" in row.reason
    assert row.next_try_at == TaskPart.objects.get().not_before
    assert waits_for(PUT_OFF_SECONDS)
    assert LogLine.objects.filter(task=task, level="warning", message__contains="Tried again in 600 s").exists()
    assert swept() == []
    make_due(task)
    assert swept() == [task]
    relay.script("PUT", bad(namespace), relay.forward)
    assert work(task) is False
    row.refresh_from_db()
    assert (task.status, task.copied, row.status) == (Status.SUCCEEDED, 2, Status.SUCCEEDED)
    assert (row.reason, row.next_try_at) == ("", None)
    assert judge.digest(target, f"{namespace}/web:bad") == judge.digest(source, f"{namespace}/web:bad")
    assert_sums_agree(task)


def test_nothing_is_asked_about_it_before_its_time(task, relay, namespace):
    relay.script("PUT", bad(namespace), Answer(500))
    work(task)
    relay.requests.clear()
    assert work(task) is False
    assert relay.requests == []


def test_after_three_tries_it_fails_with_the_reason(task, relay, namespace):
    relay.script("PUT", bad(namespace), Answer(500))
    for wait in (PUT_OFF_SECONDS, 3 * PUT_OFF_SECONDS):
        assert work(task) is False
        assert task.is_open
        assert waits_for(min(wait, 900))
        make_due(task)
    assert work(task) is False
    assert (task.status, task.planned, task.copied, task.failed) == (Status.PARTIAL, 2, 1, 1)
    resource = TaskResource.objects.get(outcome="failed")
    assert (resource.tag, resource.side, resource.http_status, resource.retryable) == ("bad", "target", 500, True)
    row = task.repositories.get()
    assert (row.status, row.next_try_at) == (Status.PARTIAL, None)
    assert "500" in row.reason
    assert_sums_agree(task)


def test_the_waits_grow_threefold(task, relay, namespace, settings):
    settings.PUT_OFF_SECONDS = 100
    relay.script("PUT", bad(namespace), Answer(500))
    for wait in (100, 300):
        work(task)
        assert waits_for(wait)
        make_due(task)


def test_what_waiting_cannot_heal_fails_at_once(task, relay, namespace):
    relay.script("PUT", bad(namespace), Answer(403))
    assert work(task) is False
    assert (task.status, task.copied, task.failed) == (Status.PARTIAL, 1, 1)


def test_being_asked_to_wait_is_obeyed_and_uses_up_no_try(task, relay, namespace):
    relay.script("PUT", bad(namespace), Answer(429, {"Retry-After": "1234"}))
    for _ in range(5):
        assert work(task) is False
        assert (task.is_open, task.failed) == (True, 0)
        assert waits_for(1234)
        make_due(task)
    relay.script("PUT", bad(namespace), Answer(500))
    assert work(task) is False
    assert (task.is_open, task.failed) == (True, 0)
    make_due(task)
    relay.script("PUT", bad(namespace), relay.forward)
    assert work(task) is False
    assert (task.status, task.copied) == (Status.SUCCEEDED, 2)


def test_limits_without_end_are_waited_for_longer_and_longer_and_not_for_ever(task, relay, namespace, settings):
    settings.PUT_OFF_SECONDS = 5
    relay.script("PUT", bad(namespace), Answer(429))
    work(task)
    assert waits_for(5)
    TaskPart.objects.update(put_off_since=timezone.now() - timedelta(seconds=400))
    make_due(task)
    work(task)
    assert waits_for(201)
    TaskPart.objects.update(put_off_since=timezone.now() - timedelta(hours=settings.OUTAGE_HOURS + 1))
    make_due(task)
    work(task)
    assert (task.status, task.failed) == (Status.PARTIAL, 1)


def test_who_waits_in_the_foreground_hears_of_the_failure_at_once(rule, relay, task, namespace):
    relay.script("PUT", bad(namespace), Answer(500))
    task.close(Status.STOPPED)
    ended = run(rule)
    assert (ended.status, ended.copied, ended.failed) == (Status.PARTIAL, 1, 1)


def test_a_repository_whose_tags_cannot_be_listed_for_now_waits_and_heals(rule, namespace, source):
    for name in ("web", "api"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    tags = f"/v2/{namespace}/web/tags/list"
    with Relay(source) as relay:
        relay.script("GET", tags, Answer(500))
        reached_at(rule.source, relay.url)
        task = open_here(rule)
        assert work(task) is False
        assert (task.is_open, task.copied, task.failed, task.all_planned) == (True, 1, 0, False)
        row = task.repositories.get(name=f"{namespace}/web")
        assert row.reason.startswith("Its tags: Source guangzhou: cannot list the tags")
        assert row.next_try_at is not None
        make_due(task)
        relay.script("GET", tags, relay.forward)
        assert work(task) is False
    assert (task.status, task.copied, task.all_planned) == (Status.SUCCEEDED, 2, True)


def test_a_repository_whose_tags_can_never_be_listed_fails_and_ends_the_planning(rule, namespace, source):
    for name in ("web", "api"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/web/tags/list", Answer(500))
        reached_at(rule.source, relay.url)
        task = open_here(rule)
        for _ in range(3):
            assert work(task) is False
            make_due(task)
    assert (task.status, task.planned, task.copied, task.failed) == (Status.PARTIAL, 2, 1, 1)
    assert task.all_planned
    assert_sums_agree(task)


def test_planning_is_put_off_and_heals(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(500))
        reached_at(rule.source, relay.url)
        task = open_here(rule)
        assert work(task) is False
        assert (task.status, task.repository_count) == (Status.SYNCHRONIZING, None)
        assert "Source guangzhou: cannot list the repositories" in task.reason
        assert waits_for(PUT_OFF_SECONDS)
        assert work(task) is False
        assert "cannot list the repositories" in task.reason
        make_due(task)
        relay.script("GET", "/v2/_catalog", relay.forward)
        assert work(task) is False
    assert (task.status, task.copied, task.reason) == (Status.SUCCEEDED, 1, "")


def test_planning_that_fails_three_times_fails_the_task(rule, source):
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(500))
        reached_at(rule.source, relay.url)
        task = open_here(rule)
        for _ in range(2):
            assert work(task) is False
            assert task.is_open
            make_due(task)
        assert work(task) is False
    assert (task.status, task.repository_count, task.parts.count()) == (Status.FAILED, None, 0)
    assert "cannot list the repositories" in task.reason
    assert "500" in task.reason


def test_an_outage_behind_a_front_that_answers_is_waited_for(task, relay, namespace):
    """/v2/ answers, everything behind it does not: nothing gets through, so no try counts."""
    for method in ("HEAD", "GET", "POST"):
        relay.script(method, f"/v2/{namespace}/", Answer(503))
    for _ in range(5):
        assert work(task) is False
        assert (task.is_open, task.failed) == (True, 0)
        make_due(task)
    for method in ("HEAD", "GET", "POST"):
        relay.script(method, f"/v2/{namespace}/", relay.forward)
    assert work(task) is False
    assert (task.status, task.copied) == (Status.SUCCEEDED, 2)


def test_no_registry_makes_a_task_wait_for_ever(task, relay, namespace, settings):
    relay.script("PUT", bad(namespace), Answer(429, headers={"Retry-After": "999999999"}))
    work(task)
    assert waits_for(settings.OUTAGE_HOURS * 3600)


def test_the_reason_stays_while_another_part_of_the_repository_is_done(rule, namespace, source, relay, settings):
    settings.TAGS_PER_CLAIM = 1
    for tag in ("bad", "good"):
        push(source, f"{namespace}/web", tag, some_image())
    task = open_here(rule)
    relay.script("PUT", bad(namespace), Answer(500))
    while work(task):
        pass
    row = task.repositories.get()
    assert (row.copied, row.status) == (1, Status.WAITING)
    assert row.reason.startswith("bad: Target frankfurt: cannot write manifest")
    assert row.next_try_at == TaskPart.objects.get().not_before
