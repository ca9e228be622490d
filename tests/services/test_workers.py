"""Several workers on one task: each resource counted once, no more workers than allowed, pushes before bulk."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_rq import get_queue

from sync import jobs, queue
from sync.models import Status, SyncTask, TaskPart, TaskResource, Trigger
from sync.services import claims, trigger
from sync.services.trigger import open_task
from tests.replication.support import push, some_image
from tests.services.support import (
    assert_sums_agree,
    claim_one,
    in_threads,
    make_due,
    make_instance,
    make_rule,
    open_here,
    reached_at,
    task_with_rows,
    work,
)
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


@pytest.mark.usefixtures("threads_database")
def test_each_resource_is_counted_once_and_written_once(source, target, namespace, settings):
    settings.TAGS_PER_CLAIM, settings.REPOSITORIES_AT_ONCE = 2, 2
    for repository in range(6):
        for tag in range(5):
            push(source, f"{namespace}/r{repository}", f"v{tag}", some_image())

    with Relay(target) as relay:

        def prepare() -> SyncTask:
            guangzhou, frankfurt = make_instance("guangzhou", source), make_instance("frankfurt", relay.url)
            return open_here(make_rule(guangzhou, frankfurt, source_namespace=namespace))

        (task,) = in_threads([prepare])

        def help_out() -> None:
            while SyncTask.objects.get(pk=task.pk).is_open:
                work(SyncTask.objects.get(pk=task.pk))

        in_threads([help_out] * 3)
        written = [one.target for one in relay.received("PUT", "/v2/") if "/manifests/v" in one.target]

    def check() -> None:
        now = SyncTask.objects.get(pk=task.pk)
        assert (now.status, now.repository_count) == (Status.SUCCEEDED, 6)
        assert (now.planned, now.copied, now.done) == (30, 30, 30)
        assert_sums_agree(now)
        assert {row.done for row in now.repositories.all()} == {5}
        assert TaskResource.objects.count() == 30

    in_threads([check])
    assert len(written) == len(set(written)) == 30


@pytest.mark.parametrize(("parallelism", "helps"), [(1, False), (2, True)])
def test_no_more_workers_than_the_rule_allows(parallelism, helps, rule, namespace, source):
    for name in ("a", "b"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    rule.parallelism = parallelism
    rule.save()
    task = task_with_rows(rule, f"{namespace}/a", f"{namespace}/b")
    assert claim_one(task, "another") is not None
    with Relay(source) as relay:
        reached_at(rule.source, relay.url)
        assert work(task) is False
        assert bool(relay.requests) is helps
    assert task.copied == (1 if helps else 0)


@contextmanager
def newly_enqueued(task: SyncTask, expected: int) -> Iterator[None]:
    before = queue.queued_tasks()[task.pk, ""]
    yield
    assert queue.queued_tasks()[task.pk, ""] - before == expected


@pytest.mark.parametrize(
    ("parallelism", "parts", "asked"),
    [(4, 10, 3), (4, 4, 3), (4, 3, 3), (4, 1, 1), (4, 0, 0), (1, 10, 0)],
)
def test_a_worker_with_too_much_to_do_asks_for_as_many_others_as_may_and_can_help(
    parallelism, parts, asked, rule, valkey
):
    rule.parallelism = parallelism
    rule.save()
    task = task_with_rows(rule, *(f"prod/{number}" for number in range(parts + 1)))
    claim_one(task, "me")
    with newly_enqueued(task, asked):
        trigger.spread(task)
    with newly_enqueued(task, 0):
        trigger.spread(task)


@pytest.mark.parametrize(
    ("owners", "waiting", "queued", "asked"),
    [
        (0, 10, 0, 4),
        (0, 10, 3, 1),
        (0, 10, 4, 0),
        (0, 10, 7, 0),
        (2, 10, 0, 2),
        (2, 10, 1, 1),
        (4, 10, 0, 0),
        (0, 1, 0, 1),
        (1, 1, 0, 1),
        (1, 0, 0, 0),
    ],
)
def test_the_sweep_tops_up_to_what_the_rule_allows(owners, waiting, queued, asked, rule, valkey):
    task = task_with_rows(rule, *(f"prod/{number}" for number in range(owners + waiting)))
    for number in range(owners):
        claim_one(task, f"owner-{number}")
    assert claims.owners(task) == owners
    with newly_enqueued(task, asked):
        trigger.top_up(task, claims.owners(task), claims.ready(task).count(), queued)


def test_what_waits_for_its_next_try_needs_no_worker(rule, valkey):
    task = task_with_rows(rule, "prod/a", "prod/b")
    TaskPart.objects.update(not_before=timezone.now() + timedelta(hours=1))
    with newly_enqueued(task, 0):
        trigger.top_up(task, 0, claims.ready(task).count(), 0)
    make_due(task)
    with newly_enqueued(task, 2):
        trigger.top_up(task, 0, claims.ready(task).count(), 0)


@pytest.mark.django_db(transaction=True)
def test_the_job_asks_for_others_when_it_has_planned_and_for_a_successor_when_its_slice_is_over(
    rule, namespace, source, settings, valkey
):
    settings.SLICE_SECONDS = 0
    for number in range(5):
        push(source, f"{namespace}/r{number}", "v1", some_image())
    rule.parallelism = 3
    rule.save()
    task = open_here(rule)
    jobs.execute_task(task.pk)
    task.refresh_from_db()
    assert (task.status, task.repository_count, task.done) == (Status.SYNCHRONIZING, 5, 0)
    # Two others beside its own successor.
    assert queue.queued_tasks() == {(task.pk, ""): 3}
    settings.SLICE_SECONDS = 60
    jobs.execute_task(task.pk)
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 5)
    assert queue.queued_tasks() == {(task.pk, ""): 3}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wanted", [False, True])
def test_a_worker_that_nobody_else_wants_goes_on_with_its_task(
    wanted, rule, namespace, source, settings, valkey, monkeypatch
):
    settings.SLICE_SECONDS, settings.REPOSITORIES_AT_ONCE = 0.001, 1
    monkeypatch.setattr("sync.services.turn.TURNS_AT_MOST", 1_000_000)
    for number in range(5):
        push(source, f"{namespace}/r{number}", "v1", some_image())
    task = open_here(rule)
    # A job of its own does not count.
    for task_id in (task.pk, task.pk + 1) if wanted else (task.pk,):
        assert queue.enqueue_task(task_id)
    jobs.execute_task(task.pk)
    task.refresh_from_db()
    assert (task.status == Status.SUCCEEDED, task.copied == 5) == (not wanted, not wanted)


@pytest.mark.django_db(transaction=True)
def test_a_job_of_a_task_that_is_gone_or_has_ended_does_nothing(rule, valkey):
    task = open_here(rule)
    task.close(Status.FAILED, "before")
    jobs.execute_task(task.pk)
    jobs.execute_task(task.pk + 1000)
    task.refresh_from_db()
    assert (task.status, task.reason, queue.queued_tasks()) == (Status.FAILED, "before", {})


@pytest.mark.django_db(transaction=True)
def test_a_worker_takes_pushes_before_bulk_and_sweeps_before_both(rule, valkey, monkeypatch):
    begun: list[str] = []

    def sweep(*_: object) -> list[SyncTask]:
        begun.append("sweep")
        return []

    def run_slice(task: SyncTask, **_: object) -> bool:
        begun.append(task.trigger)
        return False

    monkeypatch.setattr("sync.jobs.execute.sweep", sweep)
    monkeypatch.setattr("sync.jobs.execute.run_slice", run_slice)
    bulk = open_task(rule, Trigger.MANUAL).task
    bulk.start()
    open_task(rule, Trigger.PUSH, selection=[("prod/web", "v1")])
    get_queue("control").enqueue(queue.SWEEP_JOB)
    worker = queue.Worker([get_queue(name) for name in queue.QUEUES], connection=get_queue("default").connection)
    monkeypatch.setattr(worker, "_install_signal_handlers", lambda: None)
    worker.work(burst=True)
    assert begun == ["sweep", "push", "manual"]


@pytest.mark.skipif(not connection.features.has_select_for_update_skip_locked, reason="this database locks as a whole")
@pytest.mark.usefixtures("threads_database")
def test_claimers_do_not_wait_for_each_other():
    """While one transaction is about to take the first part, another gets the second at once."""

    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        return task_with_rows(make_rule(a, b, source_namespace="prod"), "prod/a", "prod/b")

    (task,) = in_threads([prepare])
    held, claimed = Event(), Event()

    def hold() -> int:
        with transaction.atomic():
            part = TaskPart.objects.select_for_update().order_by("pk")[0]
            held.set()
            assert claimed.wait(10)
            return part.pk

    def claim() -> int:
        assert held.wait(10)
        part = claim_one(task, "other")
        claimed.set()
        assert part is not None
        return part.pk

    first, second = in_threads([hold, claim])
    assert first < second


@pytest.mark.parametrize(("sharers", "at_once"), [(1, 8), (4, 3)])
def test_a_worker_leaves_a_share_to_the_others(sharers, at_once, rule, namespace, source):
    for number in range(8):
        push(source, f"{namespace}/r{number}", "v1", some_image())
    task = open_here(rule)
    claimed = []
    work(task, sharers=sharers, watch=lambda _: claimed.append(TaskPart.objects.exclude(claim="").count()))
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 8)
    assert claimed[0] == at_once
