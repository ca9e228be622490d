"""Claims: one owner per row, silent owners lose it, and what they write afterwards changes nothing."""

from functools import partial
from itertools import chain

import pytest
from django.utils import timezone

from sync.models import Delivery, Status, SyncTask, TaskRepository, TaskResource
from sync.replication.events import Outcome, RepositoryDone, ResourceDone, TagsListed
from sync.services import claims, execute
from sync.services.record import Recorder
from tests.services.support import in_threads, make_instance, make_rule, open_here, task_with_rows

pytestmark = pytest.mark.django_db

DIGEST = f"sha256:{'a' * 64}"


def claim(task: SyncTask, token: str) -> TaskRepository:
    row = claims.claim_next(task, token)
    assert row is not None
    return row


def fall_silent(row):
    TaskRepository.objects.filter(pk=row.pk).update(heartbeat_at=timezone.now() - 2 * claims.SILENT_AFTER)


@pytest.mark.usefixtures("threads_database")
def test_no_two_claimers_get_the_same_row():
    names = [f"prod/{number}" for number in range(40)]

    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        return task_with_rows(make_rule(a, b, source_namespace="prod"), *names)

    (task,) = in_threads([prepare])

    def claim_all(token: str) -> list[str]:
        got = []
        while (row := claims.claim_next(task, token)) is not None:
            got.append(row.name)
        return got

    claimed = in_threads([partial(claim_all, token) for token in ("a", "b", "c", "d")])
    assert sorted(chain(*claimed)) == sorted(names)


def test_what_a_lost_owner_writes_late_changes_nothing(rule):
    task = task_with_rows(rule, "prod/web")
    lost = Recorder(task, "lost")
    row = claim(task, "lost")
    lost.open(row)
    lost.record(TagsListed("prod/web", 3))
    fall_silent(row)
    claims.take_back()
    assert TaskRepository.objects.get().status == Status.WAITING
    assert claim(task, "new").claim == "new"
    before = TaskRepository.objects.values().get()
    lost.record(ResourceDone("prod/web", "v1", Outcome.COPIED, DIGEST))
    lost.flush()
    lost.record(RepositoryDone("prod/web"))
    claims.give_back(row, "lost")
    assert TaskRepository.objects.values().get() == before
    assert not TaskResource.objects.exists()
    assert not Delivery.objects.exists()


def test_who_is_heard_of_keeps_the_row(rule, monkeypatch):
    monkeypatch.setattr("sync.services.record.HEARTBEAT_SECONDS", 0)
    task = task_with_rows(rule, "prod/web")
    recorder = Recorder(task, "alive")
    row = claim(task, "alive")
    recorder.open(row)
    fall_silent(row)
    recorder.flush()
    claims.take_back()
    assert TaskRepository.objects.get().claim == "alive"


def test_giving_back_does_not_count_as_an_attempt(rule):
    task = task_with_rows(rule, "prod/web")
    for _ in range(2 * claims.MAX_ATTEMPTS):
        row = claim(task, "owner")
        assert row.attempts == 1
        claims.give_back(row, "owner")


def test_three_lost_workers_fail_the_row_and_the_task(rule):
    task = task_with_rows(rule, "prod/lost", "prod/good")
    for number in range(claims.MAX_ATTEMPTS):
        row = claim(task, f"worker-{number}")
        assert row.name == "prod/lost"
        fall_silent(row)
        claims.take_back()
    row.refresh_from_db()
    assert row.status == Status.FAILED
    assert "3 workers were lost" in row.reason
    good = claim(task, "worker")
    recorder = Recorder(task, "worker")
    recorder.open(good)
    for event in (
        TagsListed(good.name, 1),
        ResourceDone(good.name, "v1", Outcome.COPIED, DIGEST),
        RepositoryDone(good.name),
    ):
        recorder.record(event)
    execute.sweep()
    task.refresh_from_db()
    assert (task.status, task.failed, task.copied) == (Status.PARTIAL, 1, 1)
    assert task.success_percent == 50


def test_what_an_earlier_owner_copied_stays_and_the_rest_is_looked_at_anew(rule):
    task = task_with_rows(rule, "prod/web")
    row = claim(task, "first")
    recorder = Recorder(task, "first")
    recorder.open(row)
    recorder.record(TagsListed("prod/web", 2))
    recorder.record(ResourceDone("prod/web", "v1", Outcome.COPIED, DIGEST))
    recorder.record(ResourceDone("prod/web", "v2", Outcome.FAILED))
    recorder.flush()
    fall_silent(row)
    claims.take_back()
    row = claim(task, "second")
    assert (row.planned, row.copied, row.failed) == (0, 0, 0)
    assert [resource.tag for resource in row.resources.all()] == ["v1"]
    recorder = Recorder(task, "second")
    recorder.open(row)
    recorder.record(TagsListed("prod/web", 2))
    for tag in ("v1", "v2"):
        recorder.record(ResourceDone("prod/web", tag, Outcome.UNCHANGED, DIGEST))
    recorder.record(RepositoryDone("prod/web"))
    row.refresh_from_db()
    assert (row.status, row.copied, row.unchanged) == (Status.SUCCEEDED, 1, 1)


def test_the_sweep_may_come_as_often_as_it_likes(rule):
    task = task_with_rows(rule, "prod/a", "prod/b")
    held, row = claim(task, "held"), claim(task, "lost")
    fall_silent(row)
    assert execute.sweep() == [task]
    before = list(TaskRepository.objects.values())
    assert execute.sweep() == [task]
    assert list(TaskRepository.objects.values()) == before
    assert TaskRepository.objects.get(pk=held.pk).claim == "held"


def test_the_sweep_finds_what_the_queue_forgot(rule):
    task = open_here(rule)
    assert execute.sweep() == [task]
    task.close(Status.FAILED)
    assert execute.sweep() == []


def test_the_sweep_closes_what_the_last_two_finishers_missed(rule):
    task = task_with_rows(rule, "prod/a")
    TaskRepository.objects.update(status=Status.SUCCEEDED, planned=1, copied=1)
    assert execute.sweep() == []
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 1)
    assert task.finished_at


def test_the_sweep_ends_a_stopped_task_whose_worker_was_lost(rule):
    task = task_with_rows(rule, "prod/a", "prod/b")
    fall_silent(claim(task, "lost"))
    SyncTask.objects.update(stop_requested=True)
    assert execute.sweep() == []
    task.refresh_from_db()
    assert task.status == Status.STOPPED
    assert set(task.repositories.values_list("status", flat=True)) == {Status.STOPPED}
