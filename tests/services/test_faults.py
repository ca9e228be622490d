"""Wrong addresses, sides that are down, and faults of our own: one sentence, and nothing stays Synchronizing."""

import pytest

from sync.models import Status, SyncTask, TaskPart, TaskRepository
from sync.oci.errors import OciError
from sync.services import claims, execute, turn
from sync.services.execute import run_slice
from sync.services.record import Recorder
from tcrconsole.secrets import make_credential_key
from tests.fakes.registry import Answer, FakeRegistry
from tests.replication.support import push, some_image
from tests.services.support import (
    assert_sums_agree,
    claim_one,
    leave_in_the_midst,
    open_here,
    reached_at,
    run,
    task_with_rows,
)
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_web_server_that_knows_nothing_of_registries(side, rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.repositories = "web"
    rule.save()
    instance = getattr(rule, side)
    with FakeRegistry() as web_server:
        reached_at(instance, web_server.url)
        task = run(rule)
        assert [one.target for one in web_server.requests] == ["/v2/"]
    assert (task.status, task.planned, task.success_percent) == (Status.FAILED, 0, None)
    assert f"{side.capitalize()} {instance.name}: cannot reach the registry" in task.reason
    assert not task.repositories.exists()


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_that_is_down_fails_the_task_with_one_sentence(side, rule, namespace, source):
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    instance = getattr(rule, side)
    with Relay(instance.url) as gone:
        pass
    reached_at(instance, gone.url)
    task = run(rule)
    assert task.status == Status.FAILED
    assert task.reason.startswith(f"{side.capitalize()} {instance.name}: cannot reach the registry: ")
    assert "the connection was refused" in task.reason
    assert "Check the address" in task.reason
    assert not task.repositories.exists()


def test_a_registry_that_keeps_the_bare_question_to_itself_still_serves(rule, namespace, source, target, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    rule.repositories = "web"
    rule.save()
    with Relay(target) as relay:
        relay.script("GET", "/v2/", Answer(403))
        reached_at(rule.target, relay.url)
        assert run(rule).copied == 1
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest


def test_a_repository_that_the_registry_says_is_not_there_is_noted_on_its_row(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.repositories = "web|nowhere"
    rule.save()
    task = run(rule)
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 1, 1)
    reasons = dict(task.repositories.values_list("name", "reason"))
    assert reasons == {
        f"{namespace}/web": "",
        f"{namespace}/nowhere": "The source has no repository of this name.",
    }


def test_a_404_that_names_no_reason_is_a_failure(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.repositories = "web"
    rule.save()
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/web/tags/list", Answer(404, body=b"not found"))
        reached_at(rule.source, relay.url)
        task = run(rule)
    assert (task.status, task.failed, task.success_percent) == (Status.FAILED, 1, 0)
    assert "404" in task.repositories.get().reason


def broken(*_, **__):
    raise ValueError("a fault of our own")


@pytest.mark.parametrize("where", ["sync.services.writing._write_resources", "sync.services.record.Recorder.record"])
def test_a_fault_of_our_own_gives_back_what_was_claimed_and_ends_after_three(
    where, rule, namespace, source, caplog, monkeypatch
):
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 60)
    for name in ("api", "web"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    task = open_here(rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, broken)
        for lost in range(1, claims.MAX_LOST_OWNERS):
            assert run_slice(task) is True
            assert set(task.repositories.values_list("status", flat=True)) == {Status.WAITING}
            assert set(task.parts.values_list("claim", flat=True)) == {""}
            assert max(task.parts.values_list("lost_owners", flat=True)) == lost
        while task.is_open:
            run_slice(task)
    task.refresh_from_db()
    assert (task.status, task.planned, task.failed, task.success_percent) == (Status.FAILED, 2, 2, 0)
    rows = list(task.repositories.all())
    assert {row.status for row in rows} == {Status.FAILED}
    assert all("An unexpected fault in the console (ValueError)" in row.reason for row in rows)
    assert "a fault of our own" in caplog.text
    assert_sums_agree(task)
    healthy = run(rule)
    assert (healthy.status, healthy.copied + healthy.unchanged) == (Status.SUCCEEDED, 2)


def test_a_fault_that_passes_leaves_no_trace(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    task = open_here(rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sync.services.writing._write_resources", broken)
        assert run_slice(task) is True
    assert run_slice(task) is False
    task.refresh_from_db()
    assert (task.status, task.planned, task.failed, task.success_percent) == (Status.SUCCEEDED, 1, 0, 100)


@pytest.mark.parametrize("where", ["plan_repositories", "list_repositories"])
def test_a_fault_of_our_own_while_planning_ends_the_task_after_three(where, rule, namespace, source, monkeypatch):
    push(source, f"{namespace}/web", "v1", some_image())
    task = open_here(rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turn, where, broken)
        for lost in range(1, claims.MAX_LOST_OWNERS):
            assert run_slice(task) is True
            assert task.parts.get().lost_owners == lost
        assert run_slice(task) is False
    task.refresh_from_db()
    assert (task.status, task.repository_count) == (Status.FAILED, None)
    assert "An unexpected fault in the console (ValueError)" in task.reason
    assert run(rule).copied == 1


def test_a_fault_while_planning_that_passes_leaves_no_trace(rule, namespace, source, monkeypatch):
    push(source, f"{namespace}/web", "v1", some_image())
    task = open_here(rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turn, "list_repositories", broken)
        assert run_slice(task) is True
    assert run_slice(task) is False
    assert (task.status, task.copied, task.reason) == (Status.SUCCEEDED, 1, "")


def test_a_fault_of_our_own_before_anything_is_claimed_fails_the_task_at_once(rule, namespace, source, monkeypatch):
    push(source, f"{namespace}/web", "v1", some_image())
    task = open_here(rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turn, "reach", broken)
        assert run_slice(task) is False
    assert task.status == Status.FAILED
    assert "An unexpected fault in the console (ValueError)" in task.reason
    assert run(rule).copied == 1


@pytest.mark.timeout(30)
def test_a_fault_before_anything_is_claimed_does_not_come_for_ever(rule, monkeypatch):
    task = task_with_rows(rule, "prod/web")
    monkeypatch.setattr(turn, "reach", broken)
    turns = 0
    while run_slice(task):
        turns += 1
        assert turns < 10
    task.refresh_from_db()
    assert (task.status, task.planned, task.failed) == (Status.FAILED, 1, 1)
    row = task.repositories.get()
    assert row.status == Status.FAILED
    assert "An unexpected fault in the console" in row.reason


def test_giving_up_after_a_hand_back_fails_just_what_is_left(rule, namespace, source, settings, monkeypatch):
    """What the owner who left has written stays as it is."""
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)
    settings.RESOURCES_AT_ONCE = 2
    for number in range(20):
        push(source, f"{namespace}/web", f"v{number:02}", some_image())
    task = open_here(rule)
    assert leave_in_the_midst(task, source, f"{namespace}/web", "v1")
    copied = TaskRepository.objects.get().copied
    assert 2 < copied < 20
    rule.source.username, rule.source.password = "robot", "secret"
    rule.source.save()
    settings.CREDENTIAL_KEYS = [make_credential_key()]
    assert run_slice(SyncTask.objects.get(pk=task.pk)) is False
    task.refresh_from_db()
    assert (task.status, task.planned, task.copied, task.failed) == (Status.PARTIAL, 20, copied, 20 - copied)
    assert task.success_percent == copied * 100 // 20
    assert_sums_agree(task)


def test_a_part_that_falls_with_counts_written_stays_below_a_hundred_percent(rule):
    task = task_with_rows(rule, "prod/web", tags=["v1", "v2", "v3", "v4"])
    for counts in (TaskRepository, SyncTask):
        counts.objects.update(copied=3)
    TaskPart.objects.update(claim="owner", lost_owners=claims.MAX_LOST_OWNERS - 1, tags=["v4"])
    assert claims.fall("owner", OciError("A fault."))
    assert execute.finish(task)
    assert (task.planned, task.copied, task.failed, task.success_percent) == (4, 3, 1, 75)
    assert task.status == Status.PARTIAL
    assert_sums_agree(task)


def test_a_fall_takes_nothing_from_others(rule):
    task = task_with_rows(rule, "prod/a", "prod/b")
    for token in ("mine", "theirs"):
        part = claim_one(task, token)
        assert part is not None
        Recorder(task, token, patient=True).open([part])
    assert claims.fall("mine", OciError("A fault."))
    assert not claims.fall("mine", OciError("A fault."))
    assert sorted(task.parts.values_list("claim", "lost_owners", "repository__status")) == [
        ("", 1, Status.WAITING),
        ("theirs", 0, Status.SYNCHRONIZING),
    ]
