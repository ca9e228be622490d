"""Retry failed: a task over just what failed, by the rule as it is now."""

import pytest

from sync.models import Status, SyncTask, Trigger
from sync.services.execute import run_slice
from sync.services.trigger import NothingToRetry, retry_failed
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import in_threads, make_instance, make_rule, open_here, reached_at, run
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


@pytest.fixture
def failed(rule, namespace, source, target) -> SyncTask:
    """A task that copied `good` of two repositories; `bad` of both failed, for a reason that has gone since."""
    for name in ("api", "web"):
        for tag in ("bad", "good"):
            push(source, f"{namespace}/{name}", tag, some_image())
    with Relay(target) as relay:
        for name in ("api", "web"):
            relay.script("PUT", f"/v2/{namespace}/{name}/manifests/bad", Answer(403))
        reached_at(rule.target, relay.url)
        task = run(rule)
    reached_at(rule.target, target)
    assert (task.status, task.copied, task.failed) == (Status.PARTIAL, 2, 2)
    return task


def test_only_what_failed_is_looked_at(failed, rule, namespace, source, target, judge):
    task = retry_failed(failed, actor="eve", enqueue=False).task
    assert (task.trigger, task.retry_of, task.actor) == (Trigger.RETRY, failed, "eve")
    with Relay(source) as relay:
        reached_at(rule.source, relay.url)
        assert run_slice(task) is False
        looked_at = {one.target for one in relay.received("HEAD", "/v2/") if "/manifests/" in one.target}
        assert looked_at == {f"/v2/{namespace}/{name}/manifests/bad" for name in ("api", "web")}
        assert relay.received("GET", "/v2/_catalog") == []
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 2, 2)
    for name in ("api", "web"):
        assert judge.digest(target, f"{namespace}/{name}:bad") == judge.digest(source, f"{namespace}/{name}:bad")
    failed.refresh_from_db()
    assert (failed.status, failed.failed) == (Status.PARTIAL, 2)


def test_the_rule_as_it_is_now_decides(failed, rule, namespace, target, judge):
    rule.target_namespace, rule.exclude_repositories = f"other-{namespace}", "api"
    rule.save()
    task = retry_failed(failed, enqueue=False).task
    run_slice(task)
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 1, 1)
    assert judge.digest(target, f"other-{namespace}/web:bad")
    assert judge.digest(target, f"{namespace}/web:bad") == ""


def test_pressed_twice_it_is_the_same_task_until_that_has_ended(failed):
    first = retry_failed(failed, enqueue=False)
    again = retry_failed(failed, enqueue=False)
    assert (first.created, again.created, again.task) == (True, False, first.task)
    first.task.close(Status.FAILED)
    assert retry_failed(failed, enqueue=False).created


@pytest.mark.usefixtures("threads_database")
def test_many_clicks_at_once_make_one_task(source, target, namespace):
    push(source, f"{namespace}/web", "v1", some_image())

    def prepare() -> SyncTask:
        rule = make_rule(make_instance("a", source), make_instance("b", target), source_namespace=namespace)
        task = open_here(rule)
        task.close(Status.FAILED)
        return task

    (task,) = in_threads([prepare])
    opened = in_threads([lambda: retry_failed(SyncTask.objects.get(pk=task.pk), enqueue=False)] * 5)
    assert len({one.task.pk for one in opened}) == 1
    assert [one.created for one in opened].count(True) == 1


def test_a_repository_whose_tags_could_not_be_listed_is_retried_whole(rule, namespace, source):
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/closed", tag, some_image())
    push(source, f"{namespace}/open", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/closed/tags/list", Answer(403))
        reached_at(rule.source, relay.url)
        before = run(rule)
    assert (before.copied, before.failed) == (1, 1)
    reached_at(rule.source, source)
    task = retry_failed(before, enqueue=False).task
    run_slice(task)
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 2, 2)
    assert list(task.repositories.values_list("name", flat=True)) == [f"{namespace}/closed"]


def test_a_task_that_was_never_planned_is_retried_as_a_whole(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(403))
        reached_at(rule.source, relay.url)
        before = run(rule)
    assert (before.status, before.repository_count) == (Status.FAILED, None)
    reached_at(rule.source, source)
    task = retry_failed(before, enqueue=False).task
    run_slice(task)
    assert (task.status, task.copied) == (Status.SUCCEEDED, 1)


def change_the_rule(task: SyncTask) -> None:
    assert task.rule is not None
    task.rule.tags = "good"
    task.rule.save()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda task: SyncTask.objects.filter(pk=task.pk).update(status=Status.SYNCHRONIZING), "has not ended yet"),
        (lambda task: task.rule.delete(), "rule of this task was deleted"),
        (lambda task: task.repositories.all().delete(), "Nothing failed"),
        (change_the_rule, "nothing of what failed belongs to it any more"),
    ],
    ids=["runs", "rule deleted", "nothing failed", "rule changed"],
)
def test_it_is_refused_with_a_sentence(spoil, sentence, failed):
    spoil(failed)
    with pytest.raises(NothingToRetry, match=sentence):
        retry_failed(SyncTask.objects.get(pk=failed.pk), enqueue=False)
    assert not failed.retries.exists()
