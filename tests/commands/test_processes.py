"""The commands and workers as processes of their own."""

from time import monotonic

import pytest

from tests.commands.support import TAGS, arrived, push_many, told, wait_for_the_first
from tests.replication.support import push, some_image

pytestmark = pytest.mark.django_db


def test_foreground_needs_no_queue(console, source, target, namespace, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    console.load(source, target, namespace)
    done = console.manage("bulk_sync", "--rule", namespace, "--foreground", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0, done.stderr
    assert told(done.stdout)["copied"] == 1
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest


def test_without_a_queue_waiting_tasks_are_kept_and_it_is_said(console, source, target, namespace):
    console.load(source, target, namespace)
    done = console.manage("bulk_sync", "--rule", namespace, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "The queue cannot be reached (REDIS_URL); the tasks wait until it is back." in done.stderr


@pytest.mark.parametrize("words", [["--wait", "--dry-run"], ["--all", "--timeout", "-1"], ["--al-l"]])
def test_words_that_do_not_fit_are_status_2(words, console):
    done = console.manage("bulk_sync", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage:" in done.stderr
    assert "_seconds" not in done.stderr


def test_workers_do_what_the_command_waits_for(console, source, target, namespace, judge, tmp_path):
    index = push(source, f"{namespace}/web", "v1", some_image())
    console.load(source, target, namespace)
    with console.workers():
        done = console.manage("bulk_sync", "--rule", namespace, "--wait", "--json", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert (told(done.stdout)["status"], told(done.stdout)["copied"]) == ("succeeded", 1)
    assert judge.pull(target, f"{namespace}/web:v1", tmp_path / "pulled")
    assert judge.digest(target, f"{namespace}/web:v1") == index.digest


def test_a_worker_that_is_told_to_end_gives_back_what_it_does(console, source, target, namespace):
    """The task goes on with the next worker, without anybody's help, and its numbers are right."""
    push_many(source, namespace)
    console.load(source, target, namespace)

    with console.workers() as process:
        assert console.manage("bulk_sync", "--rule", namespace).returncode == 0
        wait_for_the_first(target, namespace)
        began = monotonic()
        console.end(process)
        assert monotonic() - began < 10
    half = arrived(target, namespace)
    assert half < TAGS
    with console.workers():
        done = console.manage("bulk_sync", "--rule", namespace, "--wait", "--json", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    task = told(done.stdout)
    assert (task["status"], task["planned"], task["copied"], task["unchanged"]) == ("succeeded", TAGS, TAGS, 0)
    assert arrived(target, namespace) == TAGS
