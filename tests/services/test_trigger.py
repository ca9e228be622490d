import pytest
from django.db import IntegrityError, transaction
from django_rq import get_queue

from sync.models import Status, SyncRule, SyncTask, Trigger
from sync.services.execute import run_slice
from sync.services.trigger import open_task, stop_task
from tests.replication.support import push, some_image
from tests.services.support import in_threads, make_instance, make_rule, open_here, run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("begun", [False, True], ids=["waiting", "running"])
def test_a_task_keeps_the_rule_it_started_with(begun, rule, namespace, source, target, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    task = open_here(rule)
    if begun:
        run_slice(task, seconds=0)
        assert task.status == Status.SYNCHRONIZING
    rule.tags, rule.target_namespace, rule.name = "nothing", "elsewhere", "renamed"
    rule.save()
    run_slice(SyncTask.objects.get(pk=task.pk))
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 1)
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest
    assert run(rule).planned == 0


def test_a_second_sync_is_the_first_one_until_that_has_ended(rule):
    first = open_task(rule, Trigger.MANUAL, enqueue=False)
    again = open_task(rule, Trigger.MANUAL, enqueue=False)
    assert (first.created, again.created, again.task.pk) == (True, False, first.task.pk)
    first.task.start()
    assert open_task(rule, Trigger.COMMAND, enqueue=False).task.pk == first.task.pk
    first.task.close(Status.SUCCEEDED)
    assert open_task(rule, Trigger.MANUAL, enqueue=False).created


def test_a_task_over_chosen_resources_is_one_of_its_own(rule, namespace, source):
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    full = open_here(rule)
    chosen = open_here(rule, selection=[(f"{namespace}/web", "v2")])
    assert chosen.pk != full.pk
    run_slice(chosen)
    chosen.refresh_from_db()
    assert (chosen.status, chosen.planned, chosen.copied) == (Status.SUCCEEDED, 1, 1)


def test_a_task_that_is_being_stopped_is_not_joined(rule):
    stopping = open_here(rule)
    stopping.start()
    assert stop_task(stopping)
    assert open_here(rule).pk != stopping.pk


def test_the_database_itself_keeps_to_one_full_waiting_task_per_rule(rule):
    task = open_here(rule)
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncTask.objects.create(rule=rule, snapshot={}, trigger=Trigger.MANUAL)
    SyncTask.objects.create(rule=rule, snapshot={}, trigger=Trigger.MANUAL, selection=[{"repository": "a", "tag": "b"}])
    task.start()
    SyncTask.objects.create(rule=rule, snapshot={}, trigger=Trigger.MANUAL)


@pytest.mark.usefixtures("threads_database")
def test_many_clicks_at_once_make_one_task():
    def make() -> int:
        return make_rule(make_instance("a", "http://a"), make_instance("b", "http://b"), source_namespace="prod").pk

    (pk,) = in_threads([make])
    rule = in_threads([lambda: SyncRule.objects.get(pk=pk)])[0]
    opened = in_threads([lambda: open_task(rule, Trigger.MANUAL, enqueue=False)] * 6)
    assert len({one.task.pk for one in opened}) == 1
    assert [one.created for one in opened].count(True) == 1
    assert in_threads([SyncTask.objects.count]) == [1]


@pytest.mark.parametrize(("trigger", "queue"), [(Trigger.MANUAL, "default"), (Trigger.PUSH, "push")])
def test_workers_hear_of_a_task_when_it_is_committed(trigger, queue, rule, valkey, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        task = open_task(rule, trigger).task
        assert get_queue(queue).jobs == []
    (job,) = get_queue(queue).jobs
    assert (job.func_name, job.args, job.kwargs) == ("sync.jobs.execute_task", (task.pk,), {})


def test_a_queue_that_is_away_does_not_lose_the_task(rule, monkeypatch, django_capture_on_commit_callbacks, settings):
    for queue in settings.RQ_QUEUES.values():
        monkeypatch.setitem(queue, "URL", "redis://127.0.0.1:1/0")
    with django_capture_on_commit_callbacks(execute=True):
        task = open_task(rule, Trigger.MANUAL).task
    assert SyncTask.objects.get(pk=task.pk).status == Status.WAITING


def test_stopping_a_waiting_task_ends_it_at_once(rule):
    task = open_here(rule)
    assert stop_task(task)
    assert task.status == Status.STOPPED
    assert task.finished_at
    assert not stop_task(task)
    assert run_slice(task) is False
    assert SyncTask.objects.get(pk=task.pk).repositories.count() == 0


def test_who_asks_for_a_full_check_never_joins_a_quick_one(rule):
    quick = open_task(rule, Trigger.COMMAND, quick=True, enqueue=False)
    assert open_task(rule, Trigger.COMMAND, quick=True, enqueue=False).task == quick.task
    full = open_task(rule, Trigger.MANUAL, enqueue=False)
    # It has not begun: the one task does both.
    assert (full.task, full.created, full.task.quick) == (quick.task, False, False)
    SyncTask.objects.filter(pk=full.task.pk).update(quick=True)
    full.task.start()
    another = open_task(rule, Trigger.MANUAL, enqueue=False)
    assert (another.created, another.task.quick) == (True, False)
