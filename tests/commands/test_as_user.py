"""--as-user NAME: a command with the rights of a user, for accounts that several people share."""

import json
import logging
from contextlib import contextmanager
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from sync.models import Status, SyncTask
from sync.services import grants
from sync.services.grants import Right
from tests.fakes.registry import Answer, FakeRegistry
from tests.replication.support import push, some_image
from tests.services.support import make_instance, make_rule, open_here, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(rule) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def back(rule):
    """A rule from the instance that ann has no role on."""
    return make_rule(rule.target, rule.source, name="back", source_namespace="elsewhere")


def call(command, *words, user="ann"):
    """Exit status, standard output, and what is told of a refusal."""
    out, err = StringIO(), StringIO()
    try:
        call_command(command, *map(str, words), "--as-user", user, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    except SystemExit as left:
        return left.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


SYNC = ("bulk_sync", "--foreground", "--json")


def test_tasks_say_who_it_was(rule, ann, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    grants.grant(Right.OPERATE, ann, rule.source)
    code, out, _ = call(*SYNC, "--rule", "everything")
    assert (code, json.loads(out)["tasks"][0]["copied"]) == (0, 1)
    assert SyncTask.objects.get().actor == "ann"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rule", "back"], "There is no rule “back”."),
        (["--rule", "frankfurt/back"], "There is no rule “frankfurt/back”."),
        (["--instance", "frankfurt"], "There is no instance “frankfurt”."),
        (["--rule", "everything"], "ann: This needs the role Operator on guangzhou."),
        (["--instance", "guangzhou"], "ann: This needs the role Operator on guangzhou."),
        (["--all"], "No enabled rule is there to run."),
    ],
)
def test_what_is_not_seen_is_not_there_and_what_may_not_be_done_is_refused(words, told, rule, back, ann):
    grants.grant(Right.VIEW, ann, rule.source)
    assert call(*SYNC, *words) == (2, "", told)
    assert not SyncTask.objects.exists()


def test_all_means_all_that_the_user_may_run(rule, back, ann):
    grants.grant(Right.OPERATE, ann, rule.source)
    _, out, _ = call(*SYNC, "--all")
    assert [task["rule"] for task in json.loads(out)["tasks"]] == ["guangzhou/everything"]


def test_a_dry_run_needs_sight_of_the_target_and_names_no_rule_that_is_not_seen(rule, ann, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    third = make_instance("third", source)
    make_rule(third, rule.target, name="hidden", source_namespace=namespace)
    grants.grant(Right.OPERATE, ann, rule.source)
    code, _, told = call("bulk_sync", "--dry-run", "--rule", "everything")
    assert (code, told.split(":")[1]) == (2, " This shows what frankfurt holds")
    grants.grant(Right.RECEIVE, ann, rule.target)
    code, out, _ = call("bulk_sync", "--dry-run", "--rule", "everything")
    assert code == 0 and "hidden" not in out
    grants.grant(Right.VIEW, ann, third)
    assert "third/hidden" in call("bulk_sync", "--dry-run", "--rule", "everything")[1]


def test_the_host_of_a_target_that_is_not_seen_is_not_told(rule, ann, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.target.url = "http://127.0.0.1:1"
    rule.target.save()
    grants.grant(Right.OPERATE, ann, rule.source)
    code, out, err = call("bulk_sync", "--foreground", "--rule", "everything")
    assert code == 1 and "the connection was refused" in out
    assert "127.0.0.1:1/" not in out + err and "frankfurt" in out


@pytest.mark.parametrize("words", [["--foreground"], ["--dry-run"]])
def test_nor_is_it_told_by_what_is_logged(words, rule, ann, namespace, source, quick_backoff):
    """On the screen of who runs it in the foreground stands what a worker's log would have."""
    push(source, f"{namespace}/web", "v1", some_image())
    with FakeRegistry() as target:
        for method in ("GET", "HEAD", "POST"):
            target.script(method, "/v2/", Answer(503))
        rule.target.url = target.url.replace("127.0.0.1", "localhost")
        rule.target.save()
        grants.grant(Right.OPERATE, ann, rule.source)
        grants.grant(Right.RECEIVE, ann, rule.target)
        handler = logging.getLogger().handlers[0]
        with redirected(handler) as told:
            call("bulk_sync", *words, "--rule", "everything")
            assert "answered 503; attempt 1" in told.getvalue() and "frankfurt" in told.getvalue()
            assert "localhost" not in told.getvalue()
            logging.getLogger("sync").warning("localhost:%s is told again", target.port)
            assert f"localhost:{target.port} is told again" in told.getvalue()


@contextmanager
def redirected(handler):
    told = StringIO()
    before = handler.setStream(told)
    try:
        yield told
    finally:
        handler.setStream(before)


@pytest.mark.parametrize("user", ["nobody", "gone"])
def test_an_unknown_user_is_refused(user, rule):
    User.objects.create_user("gone", is_active=False)
    told = (2, "", f"There is no active user “{user}”.")
    assert call(*SYNC, "--all", user=user) == told
    assert call("stop_task", 1, user=user) == told
    assert call("retry_failed", 1, user=user) == told


def test_stopping(rule, ann):
    task = open_here(rule)
    assert call("stop_task", task.pk) == (2, "", f"There is no task {task.pk}. Nothing was stopped.")
    grants.grant(Right.VIEW, ann, rule.source)
    assert call("stop_task", task.pk) == (2, "", "ann: This needs the role Operator on guangzhou.")
    assert SyncTask.objects.get().status == Status.WAITING
    grants.grant(Right.OPERATE, ann, rule.source)
    assert call("stop_task", task.pk)[0] == 0
    task.refresh_from_db()
    assert (task.status, task.stopped_by) == (Status.STOPPED, "ann")


def test_retrying(rule, ann, back):
    rule.source.url = "http://127.0.0.1:1"
    rule.source.save()
    failed = run(rule)
    assert call("retry_failed", failed.pk) == (2, "", f"There is no task {failed.pk}.")
    grants.grant(Right.VIEW, ann, rule.source)
    assert call("retry_failed", failed.pk) == (2, "", "ann: This needs the role Operator on guangzhou.")
    assert not failed.retries.exists()
    grants.grant(Right.OPERATE, ann, rule.source)
    assert call("retry_failed", failed.pk, "--foreground")[0] == 1
    assert failed.retries.get().actor == "ann"


def test_a_platform_administrator_may_everything(rule, back):
    User.objects.create_superuser("root")
    _, out, _ = call(*SYNC, "--all", user="root")
    assert len(json.loads(out)["tasks"]) == 2
