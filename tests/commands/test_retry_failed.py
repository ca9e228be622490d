"""manage.py retry_failed: a task over what failed, and the exit status."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sync.models import Status, SyncTask, Trigger
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import open_here, run
from tests.support import Relay

pytestmark = pytest.mark.django_db


def retry(*words):
    """Exit status, standard output, and what is told of a refusal."""
    out = StringIO()
    try:
        call_command("retry_failed", *map(str, words), stdout=out, stderr=StringIO())
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    except SystemExit as left:
        return left.code, out.getvalue(), ""
    return 0, out.getvalue(), ""


@pytest.fixture
def failed(rule, namespace, source, target):
    """Two tags of which the source refuses one, until the rule is given the source itself."""
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/web/manifests/sha256", Answer(403))
        relay.script("HEAD", f"/v2/{namespace}/web/manifests/v2", Answer(403))
        relay.script("GET", f"/v2/{namespace}/web/manifests/v2", Answer(403))
        rule.source.url = relay.url
        rule.source.save()
        yield run(rule)


def mend(rule, source):
    rule.source.url = source
    rule.source.save()


def test_what_failed_is_copied_once_its_cause_is_mended(failed, rule, namespace, source, target, judge):
    assert failed.failed
    mend(rule, source)
    code, out, _ = retry(failed.pk, "--foreground", "--json")
    (told,) = json.loads(out)["tasks"]
    task = failed.retries.get()
    assert (code, told["id"], told["status"], told["planned"]) == (0, task.pk, "succeeded", failed.failed)
    assert (task.trigger, bool(task.actor)) == (Trigger.RETRY, True)
    assert all(judge.digest(target, f"{namespace}/web:{tag}") for tag in ("v1", "v2"))


def test_what_fails_again_is_status_1(failed):
    code, out, _ = retry(failed.pk, "--foreground")
    assert code == 1
    assert f"task {failed.retries.get().pk} failed" in out


@pytest.mark.usefixtures("valkey")
def test_without_waiting_the_task_is_queued_and_asking_again_makes_no_second_one(failed):
    for _ in range(2):
        code, out, _ = retry(failed.pk)
        assert (code, out) == (0, f"guangzhou/everything: task {failed.retries.get().pk} is queued\n")


@pytest.mark.usefixtures("valkey")
def test_waiting_too_long_is_status_4(failed):
    code, out, _ = retry(failed.pk, "--wait", "--json", "--timeout", "0.1")
    assert (code, json.loads(out)["tasks"][0]["status"]) == (4, "waiting")


def test_wrong_use_is_status_2_with_a_sentence(rule):
    task = open_here(rule)
    assert retry(0) == (2, "", "There is no task 0.")
    assert retry(task.pk, "--timeout", "5") == (2, "", "--timeout goes with --wait or --foreground.")
    assert retry(task.pk) == (2, "", "This task has not ended yet: retry what failed when it has.")
    SyncTask.objects.update(repository_count=0)
    task.close(Status.SUCCEEDED)
    assert retry(task.pk) == (2, "", "Nothing failed in this task.")
    rule.delete()
    assert retry(task.pk) == (2, "", "The rule of this task was deleted.")
    assert SyncTask.objects.count() == 1
