"""The sweep: what was lost is mended, as often and by as many as may be."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_rq import get_queue

from sync import jobs, queue
from sync.models import Status, SyncTask, TaskPart, TaskRepository, Trigger
from sync.services import claims, execute
from sync.services.trigger import open_task
from tests.services.support import claim_one, in_threads, make_instance, make_rule, open_here, swept, task_with_rows

pytestmark = pytest.mark.django_db


def lose(task: SyncTask, token: str = "lost") -> TaskPart:
    """A part whose owner has been silent for too long."""
    part = claim_one(task, token)
    assert part is not None
    TaskPart.objects.filter(pk=part.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    return part


def test_the_sweep_may_come_as_often_as_it_likes(rule):
    task = task_with_rows(rule, "prod/a", "prod/b")
    held = claim_one(task, "held")
    lose(task)
    assert swept() == [task]
    before = list(TaskPart.objects.values()), list(TaskRepository.objects.values())
    assert swept() == [task]
    assert (list(TaskPart.objects.values()), list(TaskRepository.objects.values())) == before
    assert held is not None
    held.refresh_from_db()
    assert (held.claim, held.lost_owners) == ("held", 0)


def test_the_sweep_finds_what_the_queue_forgot(rule):
    task = open_here(rule)
    assert swept() == [task]
    task.close(Status.FAILED)
    assert swept() == []


def test_the_sweep_leaves_alone_what_waits_for_its_next_try(rule):
    task = task_with_rows(rule, "prod/a")
    TaskPart.objects.update(not_before=timezone.now() + timedelta(hours=1))
    assert swept() == []
    assert claim_one(task, "mine") is None
    TaskPart.objects.update(not_before=timezone.now())
    assert swept() == [task]
    assert claim_one(task, "mine") is not None


def test_the_sweep_closes_what_the_last_two_finishers_missed(rule):
    task = task_with_rows(rule, "prod/a")
    TaskPart.objects.all().delete()
    TaskRepository.objects.update(status=Status.SUCCEEDED, planned=1, copied=1)
    SyncTask.objects.update(planned=1, copied=1)
    assert swept() == []
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 1)
    assert task.finished_at


def test_the_sweep_ends_a_stopped_task_whose_worker_was_lost(rule):
    task = task_with_rows(rule, "prod/a", "prod/b")
    lose(task)
    SyncTask.objects.update(stop_requested=True)
    assert swept() == []
    task.refresh_from_db()
    assert task.status == Status.STOPPED
    assert set(task.repositories.values_list("status", flat=True)) == {Status.STOPPED}


def test_a_task_whose_planner_was_lost_is_planned_by_another(rule):
    task = open_here(rule)
    task.start()
    lose(task)
    assert swept() == [task]
    part = claim_one(task, "next")
    assert part is not None
    assert (part.repository, part.lost_owners) == (None, 1)


def test_a_task_over_whose_planning_three_workers_were_lost_fails_with_that_reason(rule):
    task = open_here(rule)
    task.start()
    for number in range(claims.MAX_LOST_OWNERS):
        lose(task, f"worker-{number}")
        execute.sweep()
    task.refresh_from_db()
    assert (task.status, task.repository_count) == (Status.FAILED, None)
    assert "3 workers in a row were lost" in task.reason


@pytest.mark.usefixtures("threads_database", "valkey")
def test_the_job_may_run_twice_at_once():
    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        task = task_with_rows(make_rule(a, b, source_namespace="prod"), "prod/a", "prod/b")
        lose(task)
        return task

    (task,) = in_threads([prepare])
    in_threads([jobs.sweep] * 4)

    def look() -> list[tuple[str, int]]:
        return sorted(TaskPart.objects.filter(task=task).values_list("claim", "lost_owners"))

    assert in_threads([look]) == [[("", 0), ("", 1)]]
    enqueued = queue.queued_tasks()[task.pk, ""]
    assert enqueued >= 2
    in_threads([jobs.sweep])
    assert queue.queued_tasks()[task.pk, ""] == enqueued


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("trigger", "name"), [(Trigger.MANUAL, "default"), (Trigger.PUSH, "push")])
def test_what_the_queue_lost_is_enqueued_again_where_it_was(trigger, name, rule, valkey):
    task = open_task(rule, trigger, enqueue=False).task
    jobs.sweep()
    (job,) = get_queue(name).jobs
    assert (job.func_name, job.args) == ("sync.jobs.execute_task", (task.pk,))
    jobs.sweep()
    assert queue.queued_tasks() == {(task.pk, ""): 1}
