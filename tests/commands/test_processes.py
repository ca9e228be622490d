"""The commands and workers as processes of their own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest
import requests
from redis import Redis
from rq import Queue, Worker

from demo.registries import free_port
from tests.commands.support import (
    PROJECT,
    SLOW,
    TAGS,
    Console,
    arrived,
    database_of_its_own,
    push_many,
    told,
    wait_for_the_first,
)
from tests.replication.support import push, some_image
from tests.support import wait_until

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Launched:
    """The whole console, as `make run` starts it."""

    console: Console
    screen: Path

    @property
    def url(self) -> str:
        (url,) = re.findall(r"answers at (\S+)", self.screen.read_text())
        return str(url)

    def pids(self, name: str) -> list[int]:
        """One for each start of the program."""
        return [int(pid) for pid in re.findall(rf"{re.escape(name)} started \(pid=(\d+)\)", self.screen.read_text())]


@pytest.fixture(scope="module")
def launched(tmp_path_factory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("launched")
    screen = folder / "screen"
    with database_of_its_own() as database, screen.open("wb") as output:
        console = Console(folder, database)
        process = subprocess.Popen(
            [sys.executable, "-m", "tcrconsole.launch"],
            cwd=PROJECT,
            env=console.environment | {"PORT": str(free_port())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            wait_until(lambda: "answers at" in screen.read_text(), 60, "the console")
            yield Launched(console, screen)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0


@pytest.mark.any_database
@pytest.mark.parametrize("name", ["web", "worker.1", "express", "scheduler", "valkey"])
def test_what_was_killed_comes_back_and_tasks_end(name, launched, source, target, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    launched.console.load(source, target, namespace)
    before = launched.pids(name)
    os.kill(before[-1], signal.SIGKILL)
    wait_until(lambda: len(launched.pids(name)) > len(before), 10, f"the return of {name}")
    assert f"{name} ended by itself (killed by SIGKILL); started again in" in launched.screen.read_text()
    assert requests.get(f"{launched.url}/login/", timeout=30).status_code == 200
    done = launched.console.manage("bulk_sync", "--rule", namespace, "--wait", "--json", "--timeout", "60")
    assert done.returncode == 0, done.stderr + launched.screen.read_text()
    assert (told(done.stdout)["copied"], arrived(target, namespace)) == (1, 1)


@pytest.mark.any_database
def test_one_worker_stays_free_for_pushes_and_sweeps(launched):
    with Redis(unix_socket_path=str(launched.console.folder / "valkey.sock")) as redis:

        def listening() -> list[list[str]]:
            alive = {pids[-1] for name in ("worker.1", "worker.2", "express") if (pids := launched.pids(name))}
            return sorted(worker.queue_names() for worker in Worker.all(connection=redis) if worker.pid in alive)

        every = ["control", "push", "default"]
        wait_until(lambda: listening() == [["control", "push"], every, every], 20, "three workers")


@pytest.mark.any_database
@pytest.mark.parametrize("wanted", ["many", "0"])
def test_a_number_of_workers_that_is_none_is_refused(wanted, tmp_path):
    outer = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment = outer | {"DATA_DIR": str(tmp_path), "PORT": str(free_port()), "WORKERS": wanted}
    command = [sys.executable, "-m", "tcrconsole.launch"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"WORKERS is '{wanted}': a number from 1 on is expected." in done.stderr


def hang_in_a_thread() -> None:
    """A job whose thread is in a system call that does not return, such as a question to a name server."""
    reading, _ = os.pipe()
    Thread(target=os.read, args=(reading, 1)).start()


@pytest.mark.any_database
def test_a_thread_that_hangs_does_not_keep_a_worker_from_leaving(console):
    words = ("rqworker", "control", "--worker-class", "sync.queue.Worker", "--verbosity", "0")
    with (
        Redis(unix_socket_path=str(console.folder / "valkey.sock")) as redis,
        console.begun(*words) as process,
    ):
        job = Queue("control", connection=redis).enqueue(hang_in_a_thread)
        wait_until(lambda: job.get_status() == "finished", 30, "the job")
        assert process.pid in [worker.pid for worker in Worker.all(connection=redis)]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
        assert process.returncode == 0, err
        assert process.pid not in [worker.pid for worker in Worker.all(connection=redis)]


@pytest.mark.any_database
def test_foreground_needs_no_queue(console, source, target, namespace, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    console.load(source, target, namespace)
    done = console.manage("bulk_sync", "--rule", namespace, "--foreground", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0, done.stderr
    assert told(done.stdout)["copied"] == 1
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest


@pytest.mark.any_database
def test_without_a_queue_waiting_tasks_are_kept_and_it_is_said(console, source, target, namespace):
    console.load(source, target, namespace)
    done = console.manage("bulk_sync", "--rule", namespace, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "The queue cannot be reached (REDIS_URL); the tasks wait until it is back." in done.stderr


@pytest.mark.any_database
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
    """Who asks again joins the task; it goes on with the next worker, and its numbers are right."""
    push_many(source, namespace)
    console.load(source, target, namespace, bytes_per_second=SLOW)

    with console.workers() as process:
        assert console.manage("bulk_sync", "--rule", namespace).returncode == 0
        wait_for_the_first(target, namespace)
        began = monotonic()
        console.end(process)
        assert monotonic() - began < 10
    half = arrived(target, namespace)
    assert half < TAGS
    assert console.manage("bulk_sync", "--rule", namespace).returncode == 0
    tasks = f"SyncTask.objects.filter(rule__name='{namespace}')"
    task = f"list({tasks}.values_list('status', 'planned', 'copied', 'unchanged'))"
    with console.workers():
        wait_until(lambda: console.inside(task) == [["succeeded", TAGS, TAGS, 0]], 60, "the task's end")
    assert arrived(target, namespace) == TAGS
