"""Claims: one owner per part, silent owners lose it, and what they write afterwards changes nothing."""

import threading
from datetime import timedelta
from functools import partial
from itertools import chain
from time import monotonic

import pytest
from django.db import connection, transaction
from django.utils import timezone

from sync.models import Delivery, LogLine, Status, SyncTask, TaskPart, TaskRepository, TaskResource
from sync.replication.events import Outcome, RepositoryDone, ResourceDone, TagsListed
from sync.services import claims, execute
from sync.services.record import Recorder
from tests.services.support import (
    assert_sums_agree,
    claim_one,
    in_threads,
    make_instance,
    make_rule,
    open_here,
    task_with_rows,
)

pytestmark = pytest.mark.django_db

DIGEST = f"sha256:{'a' * 64}"


def claim(task: SyncTask, token: str) -> TaskPart:
    part = claim_one(task, token)
    assert part is not None
    return part


def owner(task: SyncTask, token: str) -> tuple[Recorder, TaskPart]:
    """A worker that has claimed a part and begins with it."""
    recorder, part = Recorder(task, token, patient=True), claim(task, token)
    recorder.open([part])
    return recorder, part


def fall_silent(part: TaskPart) -> None:
    TaskPart.objects.filter(pk=part.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))


@pytest.mark.usefixtures("threads_database")
def test_no_two_claimers_get_the_same_part():
    names = [f"prod/{number}" for number in range(40)]

    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        return task_with_rows(make_rule(a, b, source_namespace="prod"), *names)

    (task,) = in_threads([prepare])

    def claim_all(token: str) -> list[str]:
        got = []
        while (part := claim_one(task, token)) is not None:
            assert part.repository is not None
            got.append(part.repository.name)
        return got

    claimed = in_threads([partial(claim_all, token) for token in ("a", "b", "c", "d")])
    assert sorted(chain(*claimed)) == sorted(names)


def test_what_a_lost_owner_writes_late_changes_nothing(rule):
    task = task_with_rows(rule, "prod/web")
    lost, part = owner(task, "lost")
    lost.record(TagsListed("prod/web", ("v1", "v2", "v3")))
    fall_silent(part)
    claims.take_back()
    assert TaskRepository.objects.get().status == Status.WAITING
    assert claim(task, "new").claim == "new"
    before = TaskRepository.objects.values().get(), TaskPart.objects.values().get(), SyncTask.objects.values().get()
    lost.record(ResourceDone("prod/web", "v1", Outcome.COPIED, DIGEST))
    lost.flush()
    lost.record(RepositoryDone("prod/web"))
    lost.flush()
    claims.give_back("lost")
    assert not claims.fall("lost", claims.LOST)
    now = TaskRepository.objects.values().get(), TaskPart.objects.values().get(), SyncTask.objects.values().get()
    assert now == before
    for nothing in (TaskResource, Delivery, LogLine):
        assert not nothing.objects.exists()


def test_who_finds_the_part_taken_loses_the_lease_under_which_tags_are_written(rule):
    task = task_with_rows(rule, "prod/web", tags=["v1", "v2"])
    recorder, part = Recorder(task, "lost", patient=True), claim(task, "lost")
    lease = recorder.open([part])[0].lease
    recorder.record(ResourceDone("prod/web", "v1", Outcome.COPIED, DIGEST))
    recorder.flush()
    assert lease.holds()
    fall_silent(part)
    claims.take_back()
    recorder.record(ResourceDone("prod/web", "v2", Outcome.COPIED, DIGEST))
    recorder.flush()
    assert not lease.holds()
    # Until the engine is done with it, no other part of the repository is taken up: its events would be mixed.
    assert recorder.busy == [part.repository_id]
    recorder.record(RepositoryDone("prod/web"))
    recorder.flush()
    assert recorder.busy == []


def test_who_is_heard_of_keeps_the_part(rule, monkeypatch):
    """A sign of life comes with time alone, even when nothing happens."""
    task = task_with_rows(rule, "prod/web")
    recorder, part = owner(task, "alive")
    fall_silent(part)
    monkeypatch.setattr("sync.services.record.monotonic", lambda: monotonic() + 60)
    recorder.flush()
    claims.take_back()
    assert TaskPart.objects.get().claim == "alive"


def test_giving_back_does_not_count_as_a_lost_owner(rule):
    task = task_with_rows(rule, "prod/web")
    for _ in range(2 * claims.MAX_LOST_OWNERS):
        assert claim(task, "owner").lost_owners == 0
        claims.give_back("owner")
    assert TaskRepository.objects.get().status == Status.WAITING


def test_giving_back_releases_what_the_owner_has_and_nothing_else(rule):
    task = task_with_rows(rule, "prod/a", "prod/b", "prod/c")
    for token in ("mine", "mine", "theirs"):
        claim(task, token)
    claims.give_back("mine")
    assert sorted(TaskPart.objects.values_list("claim", "repository__status")) == [
        ("", Status.WAITING),
        ("", Status.WAITING),
        ("theirs", Status.SYNCHRONIZING),
    ]


def test_three_lost_workers_fail_the_part_and_the_task(rule):
    task = task_with_rows(rule, "prod/lost", "prod/good")
    lost_row = task.repositories.get(name="prod/lost")
    for number in range(claims.MAX_LOST_OWNERS):
        part = claim(task, f"worker-{number}")
        assert part.repository == lost_row
        fall_silent(part)
        claims.take_back()
    lost_row.refresh_from_db()
    assert lost_row.status == Status.FAILED
    assert "3 workers in a row were lost" in lost_row.reason
    recorder, _ = owner(task, "worker")
    for event in (
        TagsListed("prod/good", ("v1",)),
        ResourceDone("prod/good", "v1", Outcome.COPIED, DIGEST),
        RepositoryDone("prod/good"),
    ):
        recorder.record(event)
    recorder.flush()
    execute.sweep()
    task.refresh_from_db()
    assert (task.status, task.failed, task.copied) == (Status.PARTIAL, 1, 1)
    assert task.success_percent == 50
    assert_sums_agree(task)


def test_what_three_workers_were_lost_over_fails_tag_by_tag_without_what_was_done(rule):
    task = task_with_rows(rule, "prod/web")
    recorder, part = owner(task, "first")
    recorder.record(TagsListed("prod/web", ("v1", "v2", "v3")))
    recorder.record(ResourceDone("prod/web", "v1", Outcome.COPIED, DIGEST))
    recorder.flush()
    for number in range(claims.MAX_LOST_OWNERS):
        fall_silent(part)
        claims.take_back()
        assert claims.owners(task) == 0
        if number < claims.MAX_LOST_OWNERS - 1:
            part = claim(task, f"worker-{number}")
    assert execute.finish(task)
    assert (task.status, task.planned, task.copied, task.failed) == (Status.PARTIAL, 3, 1, 2)
    outcomes = dict(TaskResource.objects.values_list("tag", "outcome"))
    assert outcomes == {"v1": "copied", "v2": "failed", "v3": "failed"}
    assert_sums_agree(task)


def test_who_comes_forward_forgets_the_lost_owners(rule):
    task = task_with_rows(rule, "prod/web", tags=["v1", "v2"])
    for token in ("a", "b"):
        fall_silent(claim(task, token))
        claims.take_back()
    assert TaskPart.objects.get().lost_owners == 2
    recorder, _ = owner(task, "c")
    recorder.record(ResourceDone("prod/web", "v1", Outcome.COPIED, DIGEST))
    recorder.flush()
    assert TaskPart.objects.get().lost_owners == 0


def test_what_an_earlier_owner_wrote_stays_and_only_the_rest_is_looked_at(rule):
    task = task_with_rows(rule, "prod/web")
    recorder, part = owner(task, "first")
    recorder.record(TagsListed("prod/web", ("v1", "v2", "v3", "v4")))
    recorder.record(ResourceDone("prod/web", "v1", Outcome.COPIED, DIGEST))
    recorder.record(ResourceDone("prod/web", "v2", Outcome.UNCHANGED, DIGEST))
    recorder.flush()
    recorder.record(ResourceDone("prod/web", "v3", Outcome.COPIED, DIGEST))  # never written: to be done anew
    fall_silent(part)
    claims.take_back()
    row = TaskRepository.objects.get()
    assert (row.planned, row.copied, row.unchanged, row.failed) == (4, 1, 1, 0)
    recorder, part = owner(task, "second")
    assert part.tags == ["v3", "v4"]
    for tag in part.tags:
        recorder.record(ResourceDone("prod/web", tag, Outcome.UNCHANGED, DIGEST))
    recorder.record(RepositoryDone("prod/web"))
    recorder.flush()
    row.refresh_from_db()
    assert (row.status, row.planned, row.copied, row.unchanged) == (Status.SUCCEEDED, 4, 1, 3)
    assert_sums_agree(task)


@pytest.mark.usefixtures("threads_database")
def test_workers_that_share_repositories_never_lock_each_other_out():
    """Each holds parts of the same two repositories, in opposite order, and writes as fast as it can."""
    tags = [f"v{number}" for number in range(120)]

    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        task = task_with_rows(make_rule(a, b, source_namespace="prod"), "prod/a", "prod/b", tags=tags)
        second = [TaskPart(task=task, repository=part.repository, tags=tags) for part in task.parts.order_by("-pk")]
        TaskPart.objects.bulk_create(second)
        return task

    (task,) = in_threads([prepare])

    def write(token: str) -> None:
        recorder = Recorder(SyncTask.objects.get(pk=task.pk), token, patient=True)
        for _ in range(2):
            part = claim_one(task, token, recorder.busy)
            assert part is not None
            recorder.open([part])
        for number, tag in enumerate(tags[:-1]):
            # Both repositories in one write, then one of them alone.
            for name in ("prod/a", "prod/b") if number % 2 else (("prod/a", "prod/b")[number // 2 % 2],):
                recorder.record(ResourceDone(name, tag, Outcome.CONFLICT, DIGEST))
            recorder.flush()
        claims.give_back(token)

    in_threads([partial(write, token) for token in ("x", "y")])
    assert in_threads([lambda: claims.owners(task)]) == [0]
    in_threads([lambda: assert_sums_agree(task)])


@pytest.mark.usefixtures("threads_database")
def test_parts_of_one_repository_may_fail_at_once():
    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        task = task_with_rows(make_rule(a, b, source_namespace="prod"), "prod/a", tags=["v0"])
        row = task.repositories.get()
        more = [TaskPart(task=task, repository=row, tags=[f"v{number}"]) for number in range(1, 80)]
        TaskPart.objects.bulk_create(more)
        count_planned = {"planned": 79}
        claims.count({row.pk: count_planned})
        claims.count_in_task(task.pk, count_planned)
        return task

    (task,) = in_threads([prepare])

    def fail(order: str) -> None:
        for pk in list(TaskPart.objects.order_by(order).values_list("pk", flat=True)):
            claims.fail(TaskPart.objects.filter(pk=pk), claims.LOST)

    in_threads([partial(fail, order) for order in ("pk", "-pk")])

    def check() -> None:
        assert execute.finish(task)
        assert (task.status, task.planned, task.failed) == (Status.FAILED, 80, 80)
        assert_sums_agree(task)

    in_threads([check])


@pytest.mark.usefixtures("threads_database")
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_while_one_claims_of_a_divided_repository_another_gets_more_of_it(monkeypatch):
    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        task = task_with_rows(make_rule(a, b, source_namespace="prod"), "prod/a", tags=["v1"])
        TaskPart.objects.create(task=task, repository=task.repositories.get(), tags=["v2"])
        return task

    (task,) = in_threads([prepare])
    claimed, found = threading.Event(), threading.Event()
    begin = claims._begin

    def note(repository_ids: list[int]) -> None:
        if claimed.is_set():
            found.set()  # what follows waits for the other one's transaction
        begin(repository_ids)

    monkeypatch.setattr(claims, "_begin", note)

    def first() -> list[TaskPart]:
        with transaction.atomic():
            parts = claims.claim(task, "x", most=8)
            claimed.set()
            assert found.wait(10)
        return parts

    def second() -> list[TaskPart]:
        assert claimed.wait(10)
        return claims.claim(task, "y", most=8)

    ours, theirs = in_threads([first, second])
    assert ([part.tags for part in ours], [part.tags for part in theirs]) == ([["v1"]], [["v2"]])


def test_an_open_task_without_anything_claimed_has_no_owner(rule):
    assert claims.owners(open_here(rule)) == 0
