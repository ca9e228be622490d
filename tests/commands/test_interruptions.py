"""bulk_sync that is interrupted, politely or not: the task ends rightly, or goes on."""

import signal

import pytest

from tests.commands.support import SLOW, TAGS, Console, arrived, push_many, told, wait_for_the_first
from tests.support import wait_until

pytestmark = pytest.mark.django_db


def rows(console: Console, task: int) -> list[str]:
    """The statuses of the task's repositories."""
    found: list[str] = console.inside(
        f"list(TaskRepository.objects.filter(task={task}).values_list('status', flat=True))"
    )
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_foreground_that_is_told_to_leave_stops_its_task(number, console, source, target, namespace):
    push_many(source, namespace)
    console.load(source, target, namespace, bytes_per_second=SLOW)
    with console.begun("bulk_sync", "--rule", namespace, "--foreground", "--json") as process:
        wait_for_the_first(target, namespace)
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    task = told(out)
    assert (process.returncode, task["status"]) == (1, "stopped"), err
    assert 0 < task["copied"] < TAGS
    assert task["copied"] == arrived(target, namespace)
    assert rows(console, task["id"]) == ["stopped"]
    assert "Traceback" not in err
    again = told(console.manage("bulk_sync", "--rule", namespace, "--foreground", "--json").stdout)
    assert again["id"] != task["id"]
    assert (again["status"], again["copied"] + again["unchanged"]) == ("succeeded", TAGS)


def test_foreground_that_was_killed_is_taken_over_by_the_next_one(console, source, target, namespace):
    push_many(source, namespace)
    console.load(source, target, namespace, bytes_per_second=SLOW)
    with console.begun("bulk_sync", "--rule", namespace, "--foreground") as process:
        wait_for_the_first(target, namespace)
        process.kill()
        process.communicate(timeout=10)
    assert arrived(target, namespace) < TAGS
    (task,) = console.inside(
        f"list(SyncTask.objects.filter(rule__name='{namespace}', status='synchronizing').values_list('pk', flat=True))"
    )
    assert rows(console, task) == ["synchronizing"]
    long_ago = "__import__('datetime').datetime(2020, 1, 1, tzinfo=__import__('datetime').UTC)"
    claimed = f"TaskPart.objects.filter(task={task}).exclude(claim='')"
    assert console.inside(f"{claimed}.update(heartbeat_at={long_ago})") == 1
    done = console.manage("bulk_sync", "--rule", namespace, "--foreground", "--json", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    ended = told(done.stdout)
    assert (ended["id"], ended["status"], ended["planned"], ended["failed"]) == (task, "succeeded", TAGS, 0)
    assert ended["copied"] + ended["unchanged"] == TAGS == arrived(target, namespace)
    assert rows(console, task) == ["succeeded"]


def test_who_stops_waiting_leaves_the_task_to_the_workers(console, source, target, namespace):
    push_many(source, namespace)
    console.load(source, target, namespace, bytes_per_second=SLOW)
    wait = ("bulk_sync", "--rule", namespace, "--wait", "--json")
    with console.workers():
        with console.begun(*wait) as process:
            wait_for_the_first(target, namespace)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        assert (process.returncode, told(out)["status"]) == (4, "synchronizing"), err
        assert arrived(target, namespace) < TAGS
        first = f"list(SyncTask.objects.filter(pk={told(out)['id']}).values_list('status', 'copied'))"
        wait_until(lambda: console.inside(first) == [["succeeded", TAGS]], 60, "the workers ending the task")
