"""A backup, made and restored as docs/operations.md says, on another machine: with its keys, and without them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
from cryptography.fernet import Fernet

from demo.registries import RegistryServer
from sync.oci.client import Client, Credential, Endpoint
from tests import parts
from tests.oci.artifacts import push_image
from tests.postgres import temporary_cluster
from tests.production.machine import Machine
from tests.production.test_operations import blocks
from tests.support import htpasswd, wait_until

pytestmark = pytest.mark.any_database

ROBOT, PASSWORD = "robot", "opens the registries"
ROOT, ROOTS = "root", "correct horse battery"
KEYS = {"SECRET_KEY": "of the console" * 4, "CREDENTIAL_KEYS": Fernet.generate_key().decode()}
FOUND = "No key in CREDENTIAL_KEYS decrypts the stored secrets of: source, target, source/web."
HINT = "Add the key with which they were encrypted to CREDENTIAL_KEYS, or enter these again."
WHAT_HAPPENED = "encrypted with a key that is not in CREDENTIAL_KEYS"
WHAT_TO_DO = "Put that key back, or enter the password again"


@dataclass
class Lost:
    """What is left of a machine: its backup, the PostgreSQL where it was restored, and where the registries are."""

    backup: Path
    servers: str
    task: int
    target: str

    @contextmanager
    def database(self) -> Iterator[dict[str, str]]:
        """As it came from the dump, for one machine alone."""
        if not self.servers:
            yield {}
            return
        with psycopg.connect(self.servers, autocommit=True) as server:
            server.execute("CREATE DATABASE one TEMPLATE restored")
            try:
                yield {"DATABASE_URL": database_at(self.servers, "one")}
            finally:
                server.execute("DROP DATABASE one WITH (FORCE)")


def database_at(servers: str, name: str) -> str:
    return f"{servers.rpartition('/')[0]}/{name}"


@contextmanager
def machine(**settings: str) -> Iterator[Machine]:
    # A short name: that of a socket must not be long.
    folder = Path(tempfile.mkdtemp(prefix="machine-", dir="/tmp"))
    try:
        yield Machine(folder, settings)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def lost(request, registry_binary, tmp_path_factory) -> Iterator[Lost]:
    backup = tmp_path_factory.mktemp("backup")
    with ExitStack() as stack:
        asking = htpasswd(ROBOT, PASSWORD)
        source, target = (stack.enter_context(RegistryServer(registry_binary, htpasswd=asking)) for _ in range(2))
        push_image(Client(Endpoint(source.url), Credential(ROBOT, PASSWORD)), "prod/web", "v1")
        servers, settings = "", {}
        if request.param == "postgresql":
            servers = stack.enter_context(temporary_cluster(parts.require("postgresql")))
            settings = {"DATABASE_URL": database_at(servers, "console"), **KEYS}
            with psycopg.connect(servers, autocommit=True) as server:
                server.execute("CREATE DATABASE console")
        with machine(**settings) as first:
            task = fill(first, source.url, target.url)
            back_up(first, backup, servers)
        yield Lost(backup, servers, task, target.url)


def fill(first: Machine, source: str, target: str) -> int:
    """Instances with passwords, a rule with the secret of a webhook, an administrator, and a task that waits."""
    sides = {"source": {"instance": "source", "namespace": "prod"}, "target": {"instance": "target"}}
    webhook = {"url": "https://hooks.example/", "failures_only": True, "secret_env": "WEBHOOK"}
    document = {
        "instances": [
            {"name": name, "region": name, "url": url, "username": ROBOT, "password_env": "REGISTRY"}
            for name, url in (("source", source), ("target", target))
        ],
        "rules": [{"name": "web", **sides, "webhook": webhook}],
    }
    make_root = ["createsuperuser", "--noinput", "--username", ROOT, "--email", ""]
    with first.queue():
        for words, given, more in (
            (["migrate", "--verbosity", "0"], "", {}),
            (["load_rules", "-"], json.dumps(document), {"REGISTRY": PASSWORD, "WEBHOOK": "knock"}),
            (make_root, "", {"DJANGO_SUPERUSER_PASSWORD": ROOTS}),
            (["bulk_sync", "--rule", "web", "--json"], "", {}),
        ):
            done = first.manage(*words, given=given, **more)
            assert done.returncode == 0, done.stderr
    (task,) = json.loads(done.stdout)["tasks"]
    assert task["status"] == "waiting"
    return int(task["id"])


def back_up(first: Machine, backup: Path, servers: str) -> None:
    """By the commands of the page, word for word; those for PostgreSQL restore, too."""
    (of_postgresql,) = (one for one in blocks("Backup and restore") if one.startswith("pg_dump"))
    (of_sqlite,) = (one for one in blocks("Backup and restore") if "sqlite3" in one)
    environment = os.environ | {"BACKUP": str(backup), "DATA_DIR": str(first.folder)}
    if servers:
        parsed = psycopg.conninfo.conninfo_to_dict(servers)
        environment |= {f"PG{name.upper()}": str(parsed[name]) for name in ("host", "port", "user", "password")}
        environment |= {"PATH": f"{parts.require('postgresql')}:{os.environ['PATH']}"}
    script = of_postgresql if servers else of_sqlite.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(["bash", "-euc", script], cwd=backup, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextmanager
def restored(lost: Lost, *, with_keys: bool) -> Iterator[Machine]:
    with lost.database() as settings, machine(**settings, **(KEYS if with_keys and settings else {})) as second:
        for path in lost.backup.iterdir():
            if path.suffix != ".dump" and (with_keys or path.name == "db.sqlite3"):
                shutil.copy(path, second.folder)
        with second.queue():
            yield second


def ended(second: Machine, task: int) -> list[str]:
    """Status of the task, how much was copied, and why it failed; nobody asks for it but the sweep."""
    look = f"task = SyncTask.objects.get(pk={task}); print(task.status, task.copied, task.reason)"
    found: list[str] = []

    def has_ended() -> bool:
        found[:] = second.manage("shell", "--verbosity", "0", "--command", look).stdout.strip().split(maxsplit=2)
        return found[0] not in ("waiting", "synchronizing")

    wait_until(has_ended, 60, "the task that waited in the dump going on")
    return found


def test_without_the_keys_nothing_crashes_and_all_say_what_to_do(lost):
    with restored(lost, with_keys=False) as second:
        for words in (["check"], ["check", "--deploy"]):
            told = second.manage(*words)
            assert told.returncode == 1
            assert f"E003) {FOUND}\n\tHINT: {HINT}" in told.stderr
            assert "Traceback" not in told.stderr
        with second.running("web", "worker", "scheduler"):
            status, _, reason = ended(second, lost.task)
            assert status == "failed"
            assert WHAT_HAPPENED in reason and WHAT_TO_DO in reason
            browse(second, lost)
        assert "Traceback" not in second.logs(), second.logs()
        for words in (["bulk_sync", "--rule", "web", "--foreground"], ["bulk_sync", "--rule", "web", "--dry-run"]):
            done = second.manage(*words)
            assert done.returncode == 1 and "Traceback" not in done.stderr
            assert WHAT_HAPPENED in done.stdout
        assert "source/web" in second.manage("rotate_credentials").stderr


def browse(second: Machine, lost: Lost) -> None:
    browser = second.browser(ROOT, ROOTS)
    task, rule = f"/i/source/tasks/{lost.task}/", "/i/source/rules/web/"
    saying = [task, "/i/source/", "/i/target/", "/i/source/namespaces/", f"{rule}check/?run"]
    pages = ["/instances/", "/instances/source/edit/", "/i/source/rules/", "/i/source/new-rule/", rule, f"{rule}edit/"]
    pages += [f"{task}log/", "/where/?q=prod/web:v1", "/i/source/secret/", "/i/source/tokens/", "/audit/", "/access/"]
    for page in [*saying, *pages]:
        answer = browser.get(page)
        assert answer.status_code == 200, f"{page}: {answer.status_code}"
        if page in saying:
            assert WHAT_HAPPENED in answer.text, page
            assert WHAT_TO_DO in answer.text, page
    told = browser.post("/i/source/check/")
    assert told.ok and WHAT_HAPPENED in told.text
    values = {"name": "new", "source_namespace": "prod", "target": "2"}
    for path in (f"{rule}edit/preview/", f"{rule}tell/", f"{rule}sync/", f"{task}retry/"):
        assert browser.post(path, **values).status_code < 500, path
    typed_again = {"kind": "registry", "name": "source", "region": "source", "username": ROBOT, "password": PASSWORD}
    limits = {"connect_timeout": "10", "read_timeout": "60", "max_connections": "64"}
    found = re.search(r'name="url" value="([^"]+)"', browser.get("/instances/source/edit/").text)
    assert found
    assert browser.post("/instances/source/edit/", **typed_again, **limits, url=found[1]).ok
    assert WHAT_HAPPENED not in browser.get("/i/source/").text
    assert WHAT_HAPPENED not in browser.post("/i/source/check/").text


def test_with_the_keys_everything_goes_on(lost):
    with restored(lost, with_keys=True) as second:
        assert second.manage("check").returncode == 0
        assert "E003" not in second.manage("check", "--deploy").stderr
        with second.running("web", "worker", "scheduler"):
            assert ended(second, lost.task)[:2] == ["succeeded", "1"], second.logs()
            assert second.browser(ROOT, ROOTS).get("/i/source/").ok
        done = second.manage("bulk_sync", "--rule", "web", "--foreground", "--json")
        assert json.loads(done.stdout)["tasks"][0]["unchanged"] == 1
    listed = requests.get(f"{lost.target}/v2/prod/web/tags/list", auth=(ROBOT, PASSWORD), timeout=10)
    assert listed.json()["tags"] == ["v1"]
