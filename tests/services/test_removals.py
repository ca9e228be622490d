"""What is deleted in the source is deleted in the target: only what the rule brought, and no more than it may."""

from collections import Counter
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from sync.models import Delivery, Notification, Removal, Status, SyncTask, TaskPart, TaskResource
from sync.services import claims, removals
from sync.services.dispatch import dispatch
from sync.services.execute import run_slice, sweep
from sync.services.trigger import answer_removals, retry_failed, stop_task
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image, some_index
from tests.services.deleting import delete, run_until_asked, tags_of
from tests.services.pushing import held, settle, tell
from tests.services.support import claim_one, make_rule, open_here, reached_at, run
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff", "no_queue")]
REMOVED, FAILED = TaskResource.Outcome.REMOVED, TaskResource.Outcome.FAILED


@pytest.fixture
def no_queue(monkeypatch):
    monkeypatch.setattr("sync.queue.enqueue_task", lambda *job: True)
    monkeypatch.setattr("sync.queue.enqueue_dispatch", lambda: True)
    monkeypatch.setattr("sync.queue.queued_tasks", Counter)


def alias(instance, repository, tag, other):
    """The same image under one more tag."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    url = f"{instance.url}/v2/{repository}/manifests"
    body = requests.get(f"{url}/{tag}", headers={"Accept": kind}, timeout=10).content
    assert requests.put(f"{url}/{other}", data=body, headers={"Content-Type": kind}, timeout=10).ok


def test_what_is_deleted_in_the_source_goes_with_the_next_run(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2")
    task = run(deleting)
    assert (task.status, task.removed, task.planned, task.success_percent) == (Status.SUCCEEDED, 2, 6, 100)
    assert tags_of(frankfurt, web) == ["v0", "v3", "v4", "v5"]
    assert sorted(Delivery.objects.values_list("tag", flat=True)) == ["v0", "v3", "v4", "v5"]
    assert sorted(TaskResource.objects.filter(outcome=REMOVED).values_list("tag", flat=True)) == ["v1", "v2"]
    assert not Removal.objects.exists()
    assert run(deleting).removed == 0


@pytest.mark.parametrize("told", ["tag", "digest"])
def test_a_notification_of_a_deletion_deletes(deleting, guangzhou, frankfurt, web, told):
    digest = held(guangzhou, web, "v1")
    delete(guangzhou, web, "v1")
    named = {"tag": "v1"} if told == "tag" else {"digest": digest}
    tell(guangzhou, web, action=Notification.Action.DELETE, **named)
    settle()
    assert tags_of(frankfurt, web) == ["v0", "v2", "v3", "v4", "v5"]
    assert SyncTask.objects.latest("pk").removed == 1


def test_a_rule_that_does_not_ask_for_it_deletes_nothing(rule, guangzhou, frankfurt, web):
    push(guangzhou.url, web, "v1", some_image())
    run(rule)
    delete(guangzhou, web, "v1")
    assert run(rule).removed == 0
    assert tags_of(frankfurt, web) == ["v1"]


def test_what_the_rule_did_not_bring_stays(deleting, guangzhou, frankfurt, web):
    push(frankfurt.url, web, "theirs", some_image())
    equal = push(guangzhou.url, web, "equal", some_image())
    push(frankfurt.url, web, "equal", equal)
    assert run(deleting).unchanged == 7
    delete(guangzhou, web, "equal")
    assert run(deleting).removed == 0
    assert {"theirs", "equal"} <= set(tags_of(frankfurt, web))


def test_what_was_changed_since_stays(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1")
    push(frankfurt.url, web, "v1", some_image())
    task = run(deleting)
    assert (task.status, task.removed, task.planned) == (Status.SUCCEEDED, 0, 5)
    assert "v1" in tags_of(frankfurt, web)
    assert "v1: not deleted in the target" in " ".join(task.log.values_list("message", flat=True))


def test_what_came_back_meanwhile_stays(deleting, guangzhou, frankfurt, web, namespace):
    tell(guangzhou, web, "v1", action=Notification.Action.DELETE)
    image = push(guangzhou.url, web, "v1", some_image())
    settle()
    assert held(guangzhou, web, "v1") == image.digest
    assert "v1" in tags_of(frankfurt, web)
    delete(guangzhou, web, "v2")
    task = open_here(deleting)
    run_until_asked(task, parts=True)
    push(guangzhou.url, web, "v2", some_image())
    while run_slice(task, seconds=float("inf")):
        pass
    assert "v2" in tags_of(frankfurt, web)


def test_what_is_gone_already_counts_as_removed(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1")
    delete(frankfurt, web, "v1")
    assert run(deleting).removed == 1


def test_more_than_the_share_waits_for_a_person_and_holds_up_nobody(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    task = open_here(deleting)
    run_until_asked(task)
    assert task.is_open
    assert "4 of 6 tags" in task.reason
    assert removals.is_asking(task)
    assert len(tags_of(frankfurt, web)) == 6
    assert open_here(deleting).pk != task.pk
    assert answer_removals(task, delete=True, actor="chen")
    assert not answer_removals(task, delete=False, actor="late")
    run_until_asked(task)
    assert (task.status, task.removed, task.reason) == (Status.SUCCEEDED, 4, "")
    assert tags_of(frankfurt, web) == ["v0", "v5"]


def test_a_person_may_keep_them(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    task = open_here(deleting)
    run_until_asked(task)
    assert answer_removals(task, delete=False, actor="chen")
    task.refresh_from_db()
    assert (task.status, task.removed) == (Status.SUCCEEDED, 0)
    assert len(tags_of(frankfurt, web)) == 6
    assert not Removal.objects.exists()


def test_a_task_that_asks_can_be_stopped(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    task = open_here(deleting)
    run_until_asked(task)
    stop_task(task)
    task.refresh_from_db()
    assert task.status == Status.STOPPED
    assert len(tags_of(frankfurt, web)) == 6


def test_a_question_that_nobody_answers_ends(deleting, guangzhou, frankfurt, web, settings):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    task = open_here(deleting)
    run_until_asked(task)
    Removal.objects.update(created_at=timezone.now() - timedelta(hours=settings.OUTAGE_HOURS, seconds=1))
    sweep()
    task.refresh_from_db()
    assert task.status == Status.SUCCEEDED
    assert len(tags_of(frankfurt, web)) == 6


@pytest.mark.parametrize("how", ["empty", "gone"])
def test_a_repository_that_is_empty_or_gone_is_asked_about_whatever_the_share(
    deleting, guangzhou, frankfurt, web, namespace, how
):
    for number in range(20):
        push(guangzhou.url, f"{namespace}/other", f"v{number}", some_image())
    run(deleting)
    if how == "empty":
        delete(guangzhou, web, *(f"v{number}" for number in range(6)))
        task = open_here(deleting)
        run_until_asked(task)
    else:
        with Relay(guangzhou.url) as relay:
            gone = Answer(404, body=b'{"errors": [{"code": "NAME_UNKNOWN", "message": "unknown"}]}')
            relay.script("GET", f"/v2/{web}/", gone)
            relay.script("HEAD", f"/v2/{web}/", Answer(404))
            relay.script("GET", "/v2/_catalog", Answer(200, body=f'{{"repositories": ["{namespace}/other"]}}'.encode()))
            reached_at(guangzhou, relay.url)
            task = open_here(deleting)
            run_until_asked(task)
    assert removals.is_asking(task)
    assert "whole repositories are gone, or empty" in task.reason
    assert len(tags_of(frankfurt, web)) == 6


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_source_that_does_not_say_clearly_that_something_is_gone_deletes_nothing(
    deleting, guangzhou, frankfurt, web, status
):
    tell(guangzhou, web, "v1", action=Notification.Action.DELETE)
    with Relay(guangzhou.url) as relay:
        relay.script("HEAD", f"/v2/{web}/manifests/v1", Answer(404))
        relay.script("GET", f"/v2/{web}/manifests/v1", Answer(404))
        relay.script("GET", f"/v2/{web}/tags/list", Answer(status, body=b"{}"))
        reached_at(guangzhou, relay.url)
        settle_once(deleting)
    assert len(tags_of(frankfurt, web)) == 6


def settle_once(rule):
    dispatch()
    for task in rule.tasks.filter(status__in=["waiting", "synchronizing"]):
        for _ in range(4):
            run_slice(task, seconds=float("inf"), patient=False)


def test_a_tag_whose_digest_others_have_fails_with_that_reason(deleting, guangzhou, frankfurt, web):
    alias(frankfurt, web, "v1", "stable")
    delete(guangzhou, web, "v1")
    task = run(deleting)
    row = TaskResource.objects.get(outcome=FAILED)
    assert (task.status, row.tag, row.retryable, row.side) == (Status.PARTIAL, "v1", False, "target")
    assert "deletes only by digest, and stable would go with it" in row.reason
    assert {"v1", "stable"} <= set(tags_of(frankfurt, web))
    again = retry_failed(task, enqueue=False).task
    run_until_asked(again)
    assert again.failed == 1


def test_tags_of_one_digest_go_together(deleting, guangzhou, frankfurt, web):
    alias(guangzhou, web, "v1", "latest")
    run(deleting)
    delete(guangzhou, web, "v1")
    task = run(deleting)
    assert (task.removed, task.failed) == (2, 0)
    assert tags_of(frankfurt, web) == ["v0", "v2", "v3", "v4", "v5"]


def test_an_index_keeps_its_children(deleting, guangzhou, frankfurt, web):
    index = push(guangzhou.url, web, "multi", some_index())
    child = index.children[0]
    push(guangzhou.url, web, "one", child)
    run(deleting)
    delete(guangzhou, web, "one")
    push(guangzhou.url, web, "multi", index)  # its child went as well
    run(deleting)
    row = TaskResource.objects.filter(outcome=FAILED).latest("pk")
    assert row.tag == "one"
    assert "multi would go with it" in row.reason
    assert held(frankfurt, web, "one") == child.digest


def test_a_registry_that_deletes_single_tags_is_asked_to(deleting, guangzhou, frankfurt, web):
    alias(frankfurt, web, "v1", "stable")
    delete(guangzhou, web, "v1")
    with Relay(frankfurt.url) as relay:
        relay.script("DELETE", f"/v2/{web}/manifests/v1", Answer(202))
        reached_at(frankfurt, relay.url)
        assert run(deleting).removed == 1
        assert [one.target for one in relay.requests if one.method == "DELETE"] == [f"/v2/{web}/manifests/v1"]


def test_where_deletion_is_off_it_is_said(deleting, guangzhou, frankfurt, web, target):
    delete(guangzhou, web, "v1")
    with Relay(frankfurt.url) as relay:
        off = Answer(405, body=b'{"errors": [{"code": "UNSUPPORTED", "message": "The operation is unsupported."}]}')
        relay.script("DELETE", f"/v2/{web}/", off)
        reached_at(frankfurt, relay.url)
        run(deleting)
    reached_at(frankfurt, target)
    row = TaskResource.objects.get(outcome=FAILED)
    assert "Deletion is off in this registry" in row.hint
    assert "v1" in tags_of(frankfurt, web)


def test_an_answer_that_is_lost_is_not_followed_by_a_deletion_of_what_was_pushed_meanwhile(
    deleting, guangzhou, frankfurt, web, target
):
    delete(guangzhou, web, "v1")
    with Relay(frankfurt.url) as relay:

        def lost(request):
            answer = relay.forward(request)
            assert answer.status == 202
            push(target, web, "v1", some_image())
            return Answer(drop=True)

        relay.script("DELETE", f"/v2/{web}/manifests/sha256", lost)
        reached_at(frankfurt, relay.url)
        task = run(deleting)
    reached_at(frankfurt, target)
    assert task.failed == 0
    assert held(frankfurt, web, "v1") != ""


def test_a_worker_that_takes_over_deletes_what_is_left(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3")
    task = open_here(deleting)
    run_until_asked(task, parts=True)
    part = claim_one(task, "dead")
    assert part is not None
    assert part.removing
    delete(frankfurt, web, "v1")
    claims.give_back("dead")
    run_until_asked(task)
    assert (task.status, task.removed) == (Status.SUCCEEDED, 3)
    assert tags_of(frankfurt, web) == ["v0", "v4", "v5"]


def test_what_too_many_workers_were_lost_over_fails_and_ends(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1")
    task = open_here(deleting)
    run_until_asked(task, parts=True)
    claims.fail(TaskPart.objects.filter(removing=True), claims.LOST)
    run_until_asked(task)
    assert task.failed == 1
    assert not task.is_open
    assert "v1" in tags_of(frankfurt, web)
    again = open_here(deleting)
    run_until_asked(again)
    assert again.removed == 1


def test_a_chain_deletes_on(deleting, guangzhou, frankfurt, web, namespace):
    further = f"{namespace}-further"
    on = make_rule(
        frankfurt,
        guangzhou,
        name="on",
        source_namespace=namespace,
        target_namespace=further,
        delete_removed=True,
        removal_share=50,
    )
    run(deleting)
    run(on)
    assert len(tags_of(guangzhou, f"{further}/web")) == 6
    delete(guangzhou, web, "v1")
    tell(guangzhou, web, "v1", action=Notification.Action.DELETE)
    settle()
    assert "v1" not in tags_of(guangzhou, f"{further}/web")


def test_what_is_in_the_source_again_does_not_go_with_another_tag_of_its_digest(deleting, guangzhou, frankfurt, web):
    alias(guangzhou, web, "v1", "again")
    run(deleting)
    digest = held(guangzhou, web, "v1")
    kind = "application/vnd.oci.image.manifest.v1+json"
    url = f"{guangzhou.url}/v2/{web}/manifests"
    image = requests.get(f"{url}/v1", headers={"Accept": kind}, timeout=10).content
    delete(guangzhou, web, "v1", "v2", "v3")
    task = open_here(deleting)
    run_until_asked(task)
    assert removals.is_asking(task)
    assert requests.put(f"{url}/again", data=image, headers={"Content-Type": kind}, timeout=10).ok
    assert answer_removals(task, delete=True, actor="chen")
    run_until_asked(task)
    assert held(guangzhou, web, "again") == held(frankfurt, web, "again") == digest
    assert "again would go with it" in TaskResource.objects.get(outcome=FAILED).reason
