"""manage.py stop_task: what is stopped, what is told, and the exit status."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sync.management.acting import os_user
from sync.management.commands import stop_task
from sync.models import AuditEntry, Status, SyncTask
from tests.commands.support import TAGS, arrived, push_many, wait_for_the_first
from tests.fakes.registry import Answer
from tests.services.support import claim_one, open_here
from tests.support import Relay

pytestmark = pytest.mark.django_db


def stop(*ids):
    """Exit status, standard output, and what is told of a refusal."""
    out = StringIO()
    try:
        call_command("stop_task", *map(str, ids), stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    except SystemExit as left:
        return left.code, out.getvalue(), ""
    return 0, out.getvalue(), ""


def test_a_waiting_task_is_stopped_and_an_ended_one_told(rule):
    ended, waiting = open_here(rule), None
    ended.close(Status.SUCCEEDED)
    waiting = open_here(rule)
    code, out, _ = stop(waiting.pk, ended.pk, waiting.pk)
    assert (code, out.splitlines()) == (
        0,
        [
            f"Task {waiting.pk} of everything: Stopped.",
            f"Task {ended.pk} of everything: had ended already, Succeeded.",
        ],
    )
    assert {task.pk: task.status for task in SyncTask.objects.all()} == {
        ended.pk: Status.SUCCEEDED,
        waiting.pk: Status.STOPPED,
    }


def test_an_unknown_id_stops_nothing(rule):
    task = open_here(rule)
    assert stop(task.pk, 0) == (2, "", "There is no task 0. Nothing was stopped.")
    assert SyncTask.objects.get().status == Status.WAITING


def test_a_task_whose_worker_does_not_answer_is_still_stopping(rule, monkeypatch):
    task = open_here(rule)
    task.start()
    assert claim_one(task, "a worker that hangs")
    monkeypatch.setattr(stop_task, "WAIT_SECONDS", 0.1)
    code, out, _ = stop(task.pk)
    assert (code, out.startswith(f"Task {task.pk} of everything: still stopping.")) == (1, True)
    task.refresh_from_db()
    assert (task.status, task.stop_requested) == (Status.SYNCHRONIZING, True)


def test_a_running_task_ends_within_5_seconds(console, source, target, namespace):
    """In the midst of questions that the source leaves without an answer."""
    push_many(source, namespace)
    with Relay(source) as slow, console.workers():
        # Eleven of them, fewer than the calls that a worker makes at once: the others arrive.
        slow.script("GET", f"/v2/{namespace}/web/manifests/v29", Answer(wait=True))
        console.load(slow.url, target, namespace)
        assert console.manage("bulk_sync", "--rule", namespace).returncode == 0
        wait_for_the_first(target, namespace)
        (task,) = console.inside(
            f"list(SyncTask.objects.filter(rule__name='{namespace}').values_list('pk', flat=True))"
        )
        done = console.manage("stop_task", str(task))
        assert (done.returncode, done.stdout) == (0, f"Task {task} of {namespace}: Stopped.\n"), done.stderr
    asked = f"LogLine.objects.get(task={task}, message__startswith='Asked to stop').at"
    assert console.inside(f"(SyncTask.objects.get(pk={task}).finished_at - {asked}).total_seconds()") < 5
    there = arrived(target, namespace)
    assert there < TAGS
    assert console.inside(f"SyncTask.objects.get(pk={task}).copied") == there


def test_who_ran_the_command_is_noted(rule):
    waiting = open_here(rule)
    stop(waiting.pk)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor_name, entry.verb, entry.object_id, entry.remote_addr) == (
        os_user(),
        "stopped",
        waiting.pk,
        None,
    )
