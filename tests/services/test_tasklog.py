"""The log of a task: written as things happen, readable meanwhile and after a crash, bounded."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from sync.models import LogLine, Status, SyncTask
from sync.services import claims, tasklog
from sync.services.execute import run_slice
from sync.services.tasklog import ERROR, INFO, WARNING
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import in_threads, make_instance, make_rule, open_here, reached_at, run, work
from tests.support import Relay, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


def lines(task: SyncTask) -> list[tuple[str, str, str]]:
    return list(LogLine.objects.filter(task=task).order_by("pk").values_list("level", "repository", "message"))


def test_what_happens_is_told_in_order_with_level_repository_and_reason(rule, namespace, source, target, settings):
    settings.RESOURCES_AT_ONCE = 1
    name = f"{namespace}/web"
    for tag in ("a-conflict", "b-copied", "c-failed"):
        push(source, name, tag, some_image())
    there = push(target, name, "a-conflict", some_image())
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/manifests/c-failed", Answer(403))
        reached_at(rule.target, relay.url)
        task = run(rule)
    told = lines(task)
    assert [(level, repository) for level, repository, _ in told] == [
        (INFO, ""),
        (INFO, ""),
        (INFO, name),
        (WARNING, name),
        (INFO, name),
        (ERROR, name),
        (WARNING, ""),
    ]
    messages = [message for _, _, message in told]
    assert messages[:3] == ["Started.", "1 repository matches.", "3 tags match."]
    assert messages[3].startswith("a-conflict: left alone")
    assert there.digest in messages[3]
    assert messages[4].startswith("b-copied: copied")
    assert messages[5].startswith("c-failed: Target frankfurt: cannot write manifest")
    assert messages[6] == "Ended: Partial."
    task.refresh_from_db()
    assert task.log_lines == 7


def test_a_tag_that_is_gone_is_told(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    task = run(rule, selection=[(f"{namespace}/web", "gone")])
    assert (WARNING, f"{namespace}/web", "gone: no longer in the source.") in lines(task)


@pytest.mark.usefixtures("threads_database")
def test_others_read_it_while_the_task_runs(source, target, namespace, monkeypatch):
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)
    for number in range(4):
        push(source, f"{namespace}/web", f"v{number}", some_image())

    def prepare() -> SyncTask:
        return open_here(make_rule(make_instance("a", source), make_instance("b", target), source_namespace=namespace))

    (task,) = in_threads([prepare])
    read: list[str] = []

    def wait_for_reader(now: SyncTask) -> None:
        if now.copied:
            wait_until(lambda: read, 20, "somebody reading the log")

    def execute() -> None:
        work(task, watch=wait_for_reader)

    def reader() -> None:
        wait_until(lambda: LogLine.objects.filter(message__contains=": copied").exists(), 20, "a line of a copy")
        assert SyncTask.objects.get(pk=task.pk).status == Status.SYNCHRONIZING
        assert LogLine.objects.filter(task=task, message="4 tags match.").exists()
        read.append("yes")

    in_threads([execute, reader])
    assert read


def test_it_survives_a_crash_and_goes_on_after_it(rule, namespace, source, settings, monkeypatch):
    """A worker that dies between two writes leaves what it wrote."""
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)
    settings.RESOURCES_AT_ONCE = 1
    for number in range(30):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    task = open_here(rule)

    class Killed(BaseException):
        pass

    def die(now: SyncTask) -> None:
        if now.copied >= 2:
            raise Killed

    with pytest.raises(Killed):
        work(task, watch=die)
    task.refresh_from_db()
    copied = [message for _, _, message in lines(task) if ": copied" in message]
    assert task.copied == len(copied) == 2
    claims.give_back(task.parts.get().claim)
    while work(task):
        assert task.is_open
    assert task.status == Status.SUCCEEDED
    messages = [message for _, _, message in lines(task)]
    # What it had copied without writing it down is found equal, which is counted and not told.
    assert (task.planned, task.copied + task.unchanged) == (30, 30)
    told = [message for message in messages if ": copied" in message]
    assert told[:2] == copied
    assert len(set(told)) == len(told) == task.copied > 2
    assert messages.count("Started.") == 1
    assert messages[-1] == "Ended: Succeeded."


def test_above_the_limit_only_warnings_and_errors_are_kept_and_above_twice_nothing(rule, settings):
    settings.TASK_LOG_LINES = 10
    task = open_here(rule)
    levels = [INFO, WARNING, ERROR]
    for number in range(45):
        tasklog.write(task, [tasklog.line(levels[number % 3], f"line {number}", "prod/web")])
    told = [message for _, _, message in lines(task)]
    kept = [message for message in told if message.startswith("line")]
    assert kept == [f"line {number}" for number in range(20) if number < 10 or number % 3]
    notices = [message for message in told if not message.startswith("line")]
    assert len(notices) == 2
    assert "only warnings and errors" in notices[0]
    assert "takes no more lines" in notices[1]
    assert told[-1] == notices[1]


def test_a_bunch_over_the_limit_is_cut_as_single_lines_are(rule, settings):
    settings.TASK_LOG_LINES = 5
    task = open_here(rule)
    tasklog.write(task, [tasklog.line(INFO, f"line {number}") for number in range(100)])
    assert LogLine.objects.filter(task=task).count() == 7
    assert run_slice(task) is False
    assert LogLine.objects.filter(task=task).count() == 7
    task.refresh_from_db()
    assert task.log_lines > 100


@pytest.mark.usefixtures("threads_database")
def test_the_limit_holds_for_several_workers_at_once(settings):
    settings.TASK_LOG_LINES = 20

    def prepare() -> SyncTask:
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        return open_here(make_rule(a, b, source_namespace="prod"))

    (task,) = in_threads([prepare])

    def write(level: str) -> None:
        for number in range(30):
            tasklog.say(task, level, f"line {number}")

    in_threads([partial(write, level) for level in (INFO, WARNING, ERROR)])

    (kept,) = in_threads([LogLine.objects.filter(message__startswith="line").count])
    assert 20 <= kept <= 40


def test_a_long_name_is_cut_to_what_the_row_takes(rule):
    task = open_here(rule)
    tasklog.say(task, INFO, "x" * 5000, "r" * 1000)
    (line,) = LogLine.objects.filter(task=task)
    assert (len(line.message), len(line.repository)) == (5000, tasklog.REPOSITORY_LENGTH)


def test_what_comes_late_from_another_worker_does_not_go_back_in_time(rule):
    """Bunches of lines of two workers, written a second after they happened."""
    task, now = open_here(rule), timezone.now()

    def bunch(*ago: float) -> list[LogLine]:
        lines = [tasklog.line(INFO, f"{seconds}", "prod/web") for seconds in ago]
        for line, seconds in zip(lines, ago, strict=True):
            line.at = now - timedelta(seconds=seconds)
        return lines

    tasklog.write(task, bunch(3, 1))
    tasklog.write(task, bunch(2, 0.5))
    kept = list(LogLine.objects.filter(task=task).order_by("pk").values_list("message", "at"))
    assert [message for message, _ in kept] == ["3", "1", "2", "0.5"]
    assert [now - at for _, at in kept] == [timedelta(seconds=seconds) for seconds in (3, 1, 1, 0.5)]
