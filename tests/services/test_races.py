"""Two at once, and what somebody else did meanwhile: stops, plans, claims."""

from functools import partial

import pytest

from sync.models import Status, SyncTask, TaskPart, TaskRepository
from sync.services import claims
from sync.services.execute import run_slice
from sync.services.spec import spec_of_task
from sync.services.trigger import stop_task
from sync.services.turn import plan_repositories
from tests.replication.support import push, some_image
from tests.services.support import (
    claim_one,
    in_threads,
    make_instance,
    make_rule,
    open_here,
    reached_at,
    task_with_rows,
)
from tests.support import Relay

pytestmark = pytest.mark.django_db


def stopped_elsewhere(task: SyncTask) -> None:
    """By somebody with an object of his own: this one knows nothing of it."""
    assert stop_task(SyncTask.objects.get(pk=task.pk))
    assert not task.stop_requested


def claimed(task: SyncTask, token: str) -> TaskPart:
    part = claim_one(task, token)
    assert part is not None
    return part


@pytest.mark.parametrize("started", [False, True], ids=["waiting", "running"])
def test_a_task_that_was_stopped_after_it_was_loaded_copies_nothing(started, rule, namespace, source, target, judge):
    push(source, f"{namespace}/web", "v1", some_image())
    task = task_with_rows(rule, f"{namespace}/web") if started else open_here(rule)
    stopped_elsewhere(task)
    with Relay(source) as relay:
        reached_at(rule.source, relay.url)
        assert run_slice(task) is False
        assert relay.requests == []
    assert not task.is_open
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.STOPPED, 0)
    assert set(task.repositories.values_list("status", flat=True)) <= {Status.STOPPED}
    assert judge.digest(target, f"{namespace}/web:v1") == ""


def test_a_task_that_is_stopped_has_nothing_to_claim_and_keeps_its_owners(rule):
    task = task_with_rows(rule, "prod/a", "prod/b")
    claimed(task, "mine")
    stopped_elsewhere(task)
    assert claim_one(task, "mine") is None
    assert dict(TaskRepository.objects.values_list("name", "status")) == {
        "prod/a": Status.SYNCHRONIZING,
        "prod/b": Status.STOPPED,
    }
    assert TaskPart.objects.get().claim == "mine"


def test_an_ended_task_has_nothing_to_claim(rule):
    task = task_with_rows(rule, "prod/a")
    task.close(Status.FAILED)
    assert claim_one(task, "mine") is None


def test_a_part_of_a_repository_that_we_hold_is_left_to_others(rule):
    task = task_with_rows(rule, "prod/a", tags=["v1"])
    TaskPart.objects.create(task=task, repository=task.repositories.get(), tags=["v2"])
    mine = claimed(task, "mine")
    assert claim_one(task, "mine", [mine.repository_id or 0]) is None
    assert claimed(task, "theirs").tags == ["v2"]


def test_an_ended_task_is_not_planned(rule):
    task = open_here(rule)
    part = claimed(task, "planner")
    stopped_elsewhere(task)
    TaskPart.objects.all().delete()
    plan_repositories(part, spec_of_task(task), [f"{rule.source_namespace}/web"])
    task.refresh_from_db()
    assert (task.status, task.repository_count) == (Status.STOPPED, None)
    assert not TaskRepository.objects.exists()


def test_what_is_planned_is_not_planned_again(rule):
    task = open_here(rule)
    part = claimed(task, "planner")
    for name in ("a", "b"):
        plan_repositories(part, spec_of_task(task), [f"{rule.source_namespace}/{name}"])
    assert [row.name for row in TaskRepository.objects.all()] == [f"{rule.source_namespace}/a"]


def test_a_planner_that_was_taken_for_dead_plans_nothing(rule):
    task = open_here(rule)
    late = claimed(task, "late")
    claims.give_back("late")
    claimed(task, "next")
    plan_repositories(late, spec_of_task(task), [f"{rule.source_namespace}/web"])
    assert not TaskRepository.objects.exists()
    assert TaskPart.objects.get().claim == "next"


@pytest.mark.usefixtures("threads_database")
def test_two_workers_that_plan_at_once_leave_one_row_per_repository():
    names = [f"prod/{number}" for number in range(30)]

    def prepare() -> TaskPart:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        task = open_here(make_rule(a, b, source_namespace="prod"))
        task.start()
        return claimed(task, "planner")

    (part,) = in_threads([prepare])

    def plan(order: int) -> None:
        plan_repositories(part, spec_of_task(part.task), names[::order])

    in_threads([partial(plan, order) for order in (1, -1, 1, -1)])

    def look() -> tuple[list[str], int | None, int]:
        rows = TaskRepository.objects.filter(task=part.task).order_by("pk").values_list("name", flat=True)
        return list(rows), SyncTask.objects.get(pk=part.task_id).repository_count, TaskPart.objects.count()

    ((rows, counted, parts),) = in_threads([look])
    assert (sorted(rows), counted, parts) == (sorted(names), len(names), len(names))
