"""Stop: heard within seconds, whatever a registry does or does not do meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

import pytest
from django.utils import timezone

from sync.models import Status, SyncTask, TaskPart
from sync.services.execute import run_slice
from sync.services.trigger import stop_task
from tests.fakes.registry import Answer, Received
from tests.replication.support import push, some_image
from tests.services.support import (
    assert_sums_agree,
    in_threads,
    make_instance,
    make_rule,
    open_here,
    reached_at,
    task_with_rows,
    work,
)
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]

STOPPED_WITHIN_SECONDS = 5.0


def test_stop_ends_a_running_task_soon(rule, namespace, source, target, judge, settings, monkeypatch):
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)
    settings.RESOURCES_AT_ONCE = 2
    pushed = {f"v{number}": push(source, f"{namespace}/web", f"v{number}", some_image()) for number in range(40)}

    def stop_after_the_first(seen: SyncTask) -> None:
        if seen.copied and not seen.stop_requested:
            seen.stop_requested = True
            SyncTask.objects.filter(pk=seen.pk).update(stop_requested=True)

    task = open_here(rule)
    assert run_slice(task, watch=stop_after_the_first) is False
    task.refresh_from_db()
    assert task.status == Status.STOPPED
    assert 0 < task.copied < 40
    row = task.repositories.get()
    assert row.status == Status.STOPPED
    assert not task.parts.exists()
    copied = set(row.resources.filter(outcome="copied").values_list("tag", flat=True))
    assert len(copied) == task.copied
    assert {tag for tag in pushed if judge.digest(target, f"{namespace}/web:{tag}")} == copied
    assert_sums_agree(task)


@pytest.mark.timeout(30)
def test_stop_is_heard_while_the_source_is_listed(rule, namespace, source, monkeypatch):
    """A catalog without end: only the stop ends it."""
    monkeypatch.setattr("sync.services.turn.STOP_ASKED_EVERY_SECONDS", 0)
    task = open_here(rule)
    SyncTask.objects.filter(pk=task.pk).update(stop_requested=True)
    with Relay(source) as relay:

        def page(request):
            number = len(relay.requests)
            link = f"</v2/_catalog?page={number}>; rel=next"
            return Answer(200, {"Link": link}, f'{{"repositories": ["{namespace}/r{number}"]}}'.encode())

        relay.script("GET", "/v2/_catalog", page)
        reached_at(rule.source, relay.url)
        task = SyncTask.objects.get(pk=task.pk)
        task.stop_requested = False
        assert run_slice(task) is False
        assert len(relay.requests) < 10
    task.refresh_from_db()
    assert task.status == Status.STOPPED


HANGS = {
    "source is reached": ("source", "GET", "/v2/"),
    "target is reached": ("target", "GET", "/v2/"),
    "source is listed": ("source", "GET", "/v2/_catalog"),
    "tags are listed": ("source", "GET", "/v2/{}/web/tags/list"),
    "tag is looked up": ("source", "GET", "/v2/{}/web/manifests/"),
    "blob is read": ("source", "GET", "/v2/{}/web/blobs/"),
    "tag is written": ("target", "PUT", "/v2/{}/web/manifests/"),
}


@contextmanager
def hanging(where: str, source: str, target: str, namespace: str) -> Iterator[tuple[Relay, Relay, threading.Event]]:
    """Source and target of which one is silent when it is asked for this; the event says that it was."""
    side, method, path = HANGS[where]
    heard = threading.Event()

    def hang(_: Received) -> Answer:
        heard.set()
        return Answer(wait=True)

    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as from_, Relay(target) as to:
        (from_ if side == "source" else to).script(method, path.format(namespace), hang)
        yield from_, to, heard


@pytest.mark.parametrize("where", HANGS)
@pytest.mark.usefixtures("threads_database")
def test_stop_is_heard_while_a_registry_hangs_in_silence(where, source, target, namespace):
    with hanging(where, source, target, namespace) as (from_, to, heard):

        def prepare() -> SyncTask:
            guangzhou, frankfurt = make_instance("guangzhou", from_.url), make_instance("frankfurt", to.url)
            return open_here(make_rule(guangzhou, frankfurt, source_namespace=namespace))

        (task,) = in_threads([prepare])

        def stop() -> float:
            assert heard.wait(20)
            assert stop_task(SyncTask.objects.get(pk=task.pk))
            return monotonic()

        def execute() -> float:
            assert work(task) is False
            return monotonic()

        stopped, ended = in_threads([stop, execute])
        assert ended - stopped < STOPPED_WITHIN_SECONDS

    def look() -> tuple[str, set[str], int]:
        now = SyncTask.objects.get(pk=task.pk)
        return now.status, set(now.repositories.values_list("status", flat=True)), now.parts.count()

    ((status, rows, parts),) = in_threads([look])
    assert (status, rows - {Status.STOPPED}, parts) == (Status.STOPPED, set(), 0)


@pytest.mark.parametrize("where", ["source is listed", "blob is read", "tag is written"])
def test_a_worker_that_is_to_leave_while_a_registry_hangs_gives_back_what_it_holds(
    where, rule, source, target, namespace
):
    with hanging(where, source, target, namespace) as (from_, to, heard):
        reached_at(rule.source, from_.url)
        reached_at(rule.target, to.url)
        task = open_here(rule)
        told: list[float] = []

        def leaving() -> bool:
            if heard.is_set() and not told:
                told.append(monotonic())
            return bool(told)

        assert work(task, leaving=leaving) is True
        assert monotonic() - told[0] < STOPPED_WITHIN_SECONDS
    assert task.is_open
    assert set(task.parts.values_list("claim", "lost_owners")) == {("", 0)}
    assert set(task.repositories.values_list("status", flat=True)) <= {Status.WAITING}


def test_a_task_that_nobody_works_on_ends_at_once(rule):
    task = task_with_rows(rule, "prod/a", "prod/b", tags=["v1"])
    TaskPart.objects.update(not_before=timezone.now() + timedelta(hours=1))
    assert stop_task(task)
    assert (task.status, task.parts.count()) == (Status.STOPPED, 0)
    assert task.finished_at
    assert set(task.repositories.values_list("status", "reason")) == {(Status.STOPPED, "Stopped on request.")}
    assert not stop_task(task)


def test_what_was_done_before_the_stop_keeps_its_outcome(rule):
    task = task_with_rows(rule, "prod/done", "prod/waits")
    task.repositories.get(name="prod/done").parts.all().delete()
    task.repositories.filter(name="prod/done").update(status=Status.SUCCEEDED, planned=1, copied=1)
    assert stop_task(task)
    assert task.status == Status.STOPPED
    assert dict(task.repositories.values_list("name", "status")) == {
        "prod/done": Status.SUCCEEDED,
        "prod/waits": Status.STOPPED,
    }
