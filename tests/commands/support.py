"""The commands and workers as processes of their own: a console with its own data folder, database and Valkey."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import requests
from django.db import connection
from psycopg import sql

from demo import artifacts, content
from demo.content import Tagged
from tests.replication.support import some_layer
from tests.support import left_running, wait_until

PROJECT = Path(__file__).resolve().parents[2]
TAGS = 300
# Bytes per second at which push_many()'s tags last long enough to be interrupted.
SLOW = 1_500_000


class Console:
    def __init__(self, folder: Path, database: dict[str, str]) -> None:
        self.folder = folder
        outer = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        self.environment = outer | database | {"DATA_DIR": str(folder), "SLICE_SECONDS": "2"}
        self.manage("migrate", "--verbosity", "0")

    def manage(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=PROJECT, env=self.environment | environment, capture_output=True, text=True, timeout=120
        )

    @contextmanager
    def begun(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs, to be interrupted; whatever happens, it is gone afterwards."""
        command = [sys.executable, "manage.py", *words]
        with subprocess.Popen(
            command, cwd=PROJECT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def inside(self, program: str) -> Any:
        """What a line of Python evaluates to, with the models at hand, in the database of this console."""
        done = self.manage("shell", "--verbosity", "0", "--command", f"import json; print(json.dumps({program}))")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def load(self, source: str, target: str, namespace: str, *, bytes_per_second: int = 0) -> None:
        """A rule named as its namespace, from registry to registry; `bytes_per_second` limits the target."""
        rules = {
            "instances": [
                {"name": "source", "region": "source", "url": source},
                {"name": "target", "region": "target", "url": target, "max_bytes_per_second": bytes_per_second},
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


@contextmanager
def database_of_its_own() -> Iterator[dict[str, str]]:
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


def told(output: str) -> dict[str, Any]:
    """The one task that --json tells about."""
    document = json.loads(output)
    assert list(document) == ["tasks"]
    task: dict[str, Any]
    (task,) = document["tasks"]
    return task


def push_many(url: str, namespace: str) -> None:
    """One image, its manifest of some 20 kB, under so many tags that copying them at the SLOW rate takes seconds."""
    image = artifacts.image([some_layer()] * 100)
    content.push([Tagged(f"{namespace}/web", f"v{number}", image) for number in range(TAGS)], url)


def arrived(url: str, namespace: str) -> int:
    """How many tags are there."""
    listed = requests.get(f"{url}/v2/{namespace}/web/tags/list", timeout=10)
    return len(listed.json().get("tags") or [])


def wait_for_the_first(url: str, namespace: str) -> None:
    wait_until(lambda: arrived(url, namespace) > 5, 30, "the first tags arriving")
