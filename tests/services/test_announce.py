"""A rule tells others when a task ends: what is written when, and the life of a delivery."""

import hashlib
import hmac
import json
from datetime import timedelta
from functools import partial
from typing import Any

import django_rq
import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from sync import jobs, queue
from sync.models import Announcement, Instance, Status, SyncRule, SyncTask, TaskRepository, TaskResource
from sync.services import announce, execute, grants
from sync.services.announce import deliveries, telling
from sync.services.announce.sending import signature
from sync.services.configure import delete_rule
from sync.services.trigger import stop_task
from tests.fakes.receiver import Receiver
from tests.services.support import in_threads, make_instance, make_rule, open_here

pytestmark = pytest.mark.django_db
SECRET = "s3cret-of-the-hook"
NOBODY = "http://127.0.0.1:1/hook"


@pytest.fixture(autouse=True)
def _inside(settings, monkeypatch):
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    # Jobs are called here inside the transaction of the test.
    monkeypatch.setattr(jobs, "close_old_connections", lambda: None)


@pytest.fixture
def enqueued(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(queue, "enqueue_announcement", lambda pk: not asked.append(pk))  # type: ignore[func-returns-value]
    return asked


@pytest.fixture
def rule(db, enqueued):
    return new_rule()


def new_rule() -> SyncRule:
    source, target = make_instance("guangzhou", NOBODY), make_instance("frankfurt", NOBODY)
    rule = make_rule(source, target, name="web", source_namespace="prod", webhook_url=NOBODY)
    rule.webhook_secret = SECRET
    rule.save()
    return rule


def ended(rule: SyncRule, failed: int = 0, copied: int = 2) -> SyncTask:
    """A task of which nothing is left to do, closed as workers close it."""
    task = open_here(rule)
    task.start()
    task.parts.all().delete()
    row = TaskRepository.objects.create(task=task, name="prod/web", target_name="prod/web", failed=failed)
    for number in range(failed):
        TaskResource.objects.create(
            repository=row, tag=f"v{number}", outcome="failed", side="target", http_status=403, reason="Not allowed."
        )
    SyncTask.objects.filter(pk=task.pk).update(
        repository_count=1, planned=copied + failed, copied=copied, failed=failed
    )
    assert execute.finish(task)
    return task


def told(rule: SyncRule) -> Announcement:
    return Announcement.objects.get(rule=rule)


def to(rule: SyncRule, receiver: Receiver) -> None:
    rule.webhook_url = receiver.url
    rule.save()


def due_now(announcement: Announcement) -> None:
    Announcement.objects.filter(pk=announcement.pk).update(next_try_at=timezone.now())


def attempt(rule: SyncRule) -> Announcement:
    one = told(rule)
    due_now(one)
    jobs.announce(one.pk)
    return told(rule)


def test_the_end_of_a_task_is_told_signed(rule, settings, enqueued, django_capture_on_commit_callbacks):
    settings.CONSOLE_URL = "https://console.example/"
    with Receiver() as receiver:
        to(rule, receiver)
        with django_capture_on_commit_callbacks(execute=True):
            task = ended(rule, failed=7)
        assert enqueued == [told(rule).pk]
        jobs.announce(told(rule).pk)
    (request,) = receiver.told
    signed = request.headers["X-Tcrconsole-Timestamp"].encode() + b"." + request.body
    expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["X-Tcrconsole-Signature"] == expected
    assert request.headers["X-Tcrconsole-Delivery"] == str(told(rule).pk)
    assert request.headers["Host"] == f"127.0.0.1:{receiver.port}"
    body = json.loads(request.body)
    assert (body["event"], body["rule"], body["task"]["status"], body["task"]["trigger"]) == (
        "task.ended",
        "web",
        "partial",
        "manual",
    )
    assert body["source"] == {"instance": "guangzhou", "namespace": "prod"}
    assert body["target"] == {"instance": "frankfurt", "namespace": "prod"}
    assert body["task"]["url"] == f"https://console.example/i/guangzhou/tasks/{task.pk}/"
    assert (body["counts"]["copied"], body["counts"]["failed"]) == (2, 7)
    assert len(body["failures"]) == 5
    assert body["failures"][0] == {
        "repository": "prod/web",
        "tag": "v0",
        "side": "target",
        "http_status": 403,
        "reason": "Not allowed.",
    }
    assert SECRET.encode() not in request.body
    one = told(rule)
    assert (one.status, one.attempts, one.http_status, one.next_try_at) == ("delivered", 1, 204, None)


def test_the_example_of_the_handbook_verifies_it(rule):
    handbook = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    code = handbook[handbook.index("import hashlib, hmac, time") :].partition("```")[0]
    space: dict[str, Any] = {}
    exec(code, space)
    with Receiver() as receiver:
        to(rule, receiver)
        assert announce.send_test(rule).delivered
    headers, body = receiver.told[0].headers, receiver.told[0].body
    assert space["is_from_console"](headers, body, SECRET)
    assert not space["is_from_console"](headers, body + b" ", SECRET)
    assert not space["is_from_console"](headers, body, SECRET + "x")
    old = {**headers, "X-Tcrconsole-Timestamp": "1000000000"}
    old["X-Tcrconsole-Signature"] = signature(SECRET, "1000000000", body)
    assert not space["is_from_console"](old, body, SECRET)


@pytest.mark.parametrize("sees", [False, True])
def test_the_receiver_reads_of_hosts_what_who_saved_the_rule_may(sees, rule):
    """They have chosen the receiver."""
    inner = "registry.inner.example:5000"
    Instance.objects.filter(pk=rule.target.pk).update(url=f"https://{inner}")
    rule.owner, rule.by_platform = User.objects.create_user("ann"), False
    rule.save()
    grants.grant(grants.Right.MANAGE_RULES, rule.owner, rule.source)
    grants.grant(grants.Right.VIEW if sees else grants.Right.RECEIVE, rule.owner, rule.target)
    task = ended(rule, failed=1)
    why = f"connection refused by {inner}"
    SyncTask.objects.filter(pk=task.pk).update(reason=why)
    TaskResource.objects.filter(repository__task=task).update(reason=why)
    task.refresh_from_db()
    body = json.loads(telling.of_task(task, SyncRule.objects.get(pk=rule.pk)))
    expected = why if sees else "connection refused by (a host)"
    assert (body["task"]["reason"], body["failures"][0]["reason"]) == (expected, expected)
    assert body["target"]["instance"] == "frankfurt"


def test_it_is_told_once_per_task(rule):
    task = ended(rule)
    announce.task_ended(task)
    execute.finish(task)
    assert Announcement.objects.count() == 1


@pytest.mark.parametrize(("failed", "count"), [(0, 0), (1, 1)])
def test_only_failures_where_only_they_are_asked_for(failed, count, rule):
    rule.webhook_failures_only = True
    rule.save()
    ended(rule, failed=failed)
    assert Announcement.objects.count() == count


def test_nothing_is_written_without_a_webhook(rule):
    rule.webhook_url = ""
    rule.save()
    ended(rule)
    assert not Announcement.objects.exists()


def test_a_task_that_nobody_had_begun_tells_that_it_was_stopped(rule):
    stop_task(open_here(rule))
    assert told(rule).task.status == Status.STOPPED


def test_a_failure_is_tried_again_ever_later_and_then_given_up(rule):
    ended(rule)
    for seconds in deliveries.BACK_OFF:
        before = timezone.now()
        one = attempt(rule)
        assert one.status == "waiting"
        assert one.next_try_at
        assert timedelta(0) <= one.next_try_at - before - timedelta(seconds=seconds) < timedelta(seconds=5)
        assert "http://127.0.0.1:1" in one.reason
        assert "refused" in one.reason
    one = attempt(rule)
    assert (one.status, one.attempts, one.next_try_at) == ("failed", 6, None)


def test_it_is_not_tried_before_its_time(rule):
    ended(rule)
    attempt(rule)
    jobs.announce(told(rule).pk)
    assert told(rule).attempts == 1


@pytest.mark.parametrize("said", ["600", "date"])
def test_retry_after_is_obeyed(said, rule):
    in_ten_minutes = timezone.now() + timedelta(seconds=600)
    said = said if said != "date" else in_ten_minutes.strftime("%a, %d %b %Y %H:%M:%S GMT")
    with Receiver((429, {"Retry-After": said}), (200, {})) as receiver:
        to(rule, receiver)
        ended(rule)
        one = attempt(rule)
        assert (one.status, one.http_status) == ("waiting", 429)
        assert one.next_try_at
        assert abs(one.next_try_at - in_ten_minutes) < timedelta(seconds=5)
        assert attempt(rule).status == "delivered"


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        *((status, "failed") for status in (302, 400, 401, 404, 410)),
        *((status, "waiting") for status in (408, 425, 429, 500, 503)),
    ],
)
def test_what_cannot_heal_fails_at_once(status, becomes, rule):
    with Receiver((status, {"Location": "/elsewhere"})) as receiver:
        to(rule, receiver)
        ended(rule)
        one = attempt(rule)
    assert (one.status, one.http_status, len(receiver.told)) == (becomes, status, 1)
    assert str(status) in one.reason


def test_who_lost_its_worker_is_taken_over_and_given_up_in_the_end(rule, enqueued):
    ended(rule)
    one = told(rule)
    assert deliveries._claimed(one)
    enqueued.clear()
    announce.enqueue_due()
    assert enqueued == []
    due_now(one)
    announce.enqueue_due()
    assert enqueued == [one.pk]
    Announcement.objects.update(attempts=6)
    assert attempt(rule).status == "failed"


def test_what_a_lost_worker_finds_out_later_changes_nothing(rule):
    ended(rule)
    slow, quick = told(rule), told(rule)
    assert deliveries._claimed(slow)
    due_now(slow)
    quick.refresh_from_db()
    assert deliveries._claimed(quick)
    deliveries._record(slow, announce.Outcome(False, 500, "late", again=True))
    assert (told(rule).attempts, told(rule).reason) == (2, "")


@pytest.mark.usefixtures("threads_database", "enqueued")
def test_two_workers_never_make_the_same_attempt():
    def prepare() -> int:
        rule = new_rule()
        to(rule, receiver)
        ended(rule)
        return told(rule).pk

    with Receiver() as receiver:
        (pk,) = in_threads([prepare])
        in_threads([partial(announce.deliver, pk)] * 4)
        (attempts,) = in_threads([lambda: Announcement.objects.get().attempts])
    assert len(receiver.told) == attempts == 1


def test_behind_a_receiver_that_is_away_the_others_wait(rule, enqueued, django_capture_on_commit_callbacks):
    first, second = ended(rule), ended(rule)
    one, other = (Announcement.objects.get(task=task) for task in (first, second))
    due_now(one)
    jobs.announce(one.pk)
    one.refresh_from_db()
    other.refresh_from_db()
    assert (other.attempts, other.next_try_at) == (0, one.next_try_at)
    enqueued.clear()
    with django_capture_on_commit_callbacks(execute=True):
        third = ended(rule)
    assert enqueued == []
    Announcement.objects.update(next_try_at=timezone.now())
    announce.enqueue_due()
    assert enqueued == [one.pk]
    with Receiver() as receiver:
        to(rule, receiver)
        jobs.announce(one.pk)
    assert enqueued == [one.pk, other.pk, Announcement.objects.get(task=third).pk]


def test_nobody_waits_behind_it_for_more_than_a_day(rule):
    first, second = ended(rule), ended(rule)
    one, other = (Announcement.objects.get(task=task) for task in (first, second))
    Announcement.objects.filter(pk=other.pk).update(created_at=timezone.now() - timedelta(days=2))
    due_now(one)
    jobs.announce(one.pk)
    other.refresh_from_db()
    assert other.status == "failed"
    assert "refused" in other.reason


def test_an_error_of_its_own_holds_up_nobody(rule):
    with Receiver((500, {})) as receiver:
        to(rule, receiver)
        first, second = ended(rule), ended(rule)
        jobs.announce(Announcement.objects.get(task=first).pk)
    assert Announcement.objects.filter(task=second, next_try_at__lte=timezone.now()).exists()


def test_send_again(rule, enqueued):
    with Receiver((404, {}), (200, {})) as receiver:
        to(rule, receiver)
        ended(rule)
        one = attempt(rule)
        assert announce.send_again(one)
        assert enqueued == [one.pk]
        jobs.announce(one.pk)
    assert (told(rule).status, told(rule).attempts) == ("delivered", 1)
    one = told(rule)
    assert announce.send_again(one)
    assert deliveries._claimed(told(rule))
    assert not announce.send_again(one)


def test_a_test_is_sent_at_once_and_signed(rule):
    with Receiver() as receiver:
        to(rule, receiver)
        assert announce.send_test(rule).delivered
    assert json.loads(receiver.told[0].body)["event"] == "test"
    assert receiver.told[0].headers["X-Tcrconsole-Delivery"].startswith("test-")
    assert not Announcement.objects.exists()


def test_without_secret_or_its_key_nothing_is_sent(rule, settings):
    with Receiver() as receiver:
        to(rule, receiver)
        settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
        assert "CREDENTIAL_KEYS" in announce.send_test(rule).reason
        rule.webhook_secret = ""
        assert "no secret" in announce.send_test(rule).reason
    assert receiver.told == []


def test_a_rule_that_is_deleted_tells_nothing_more(rule, django_capture_on_commit_callbacks):
    task = ended(rule)
    pk = told(rule).pk
    open_here(rule)
    with django_capture_on_commit_callbacks(execute=True):
        delete_rule(rule)
    jobs.announce(pk)
    task.refresh_from_db()
    assert task.rule is None
    assert not Announcement.objects.exists()


def test_the_sweep_brings_on_what_the_queue_lost(rule, enqueued, valkey):
    ended(rule)
    jobs.sweep()
    assert enqueued == [told(rule).pk]


def test_the_job_knows_no_secret(rule, valkey, monkeypatch):
    monkeypatch.undo()
    ended(rule)
    assert queue.enqueue_announcement(told(rule).pk)
    (job,) = django_rq.get_queue("default").jobs
    assert (job.func_name, job.args) == ("sync.jobs.announce", (told(rule).pk,))
