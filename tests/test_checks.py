"""`manage.py check --deploy` tells what is wrong or missing, and never with a traceback."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import time
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage, run_checks
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from redis import Redis
from rq import SimpleWorker
from rq.cron import CronJob, CronScheduler

from sync import jobs, queue_state
from sync.models import Instance, SyncRule

PROJECT = Path(__file__).resolve().parent.parent
QUEUES = ["control", "push", "default"]
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
nas:/console /srv nfs4 rw 0 0
/dev/sdb1 /srv/local ext4 rw 0 0
/dev/sdc1 /mnt/two\\040words ext4 rw 0 0
me@nas: /mnt/two\\040words fuse.sshfs rw 0 0
"""


def found(tag: str, deploy: bool = True) -> dict[str, CheckMessage]:
    """What the checks with this tag say, by the last part of the id; without Django's own and that SQLite is used."""
    messages = run_checks(tags=[tag], include_deployment_checks=deploy)
    ours = {message.id[11:]: message for message in messages if message.id and message.id.startswith("tcrconsole.")}
    assert all(message.hint for message in ours.values())
    if tag == "database":
        assert ("W010" in ours) == (deploy and connection.vendor == "sqlite")
        ours.pop("W010", None)
    return ours


@pytest.fixture(autouse=True)
def _keys_given(monkeypatch):
    for name in ("SECRET_KEY", "CREDENTIAL_KEYS"):
        monkeypatch.setenv(name, "given")


@pytest.fixture
def server(valkey):
    """The queue's server, which keeps its data and evicts nothing."""
    with Redis.from_url(valkey) as client:
        client.config_set("save", "3600 1")
        yield client
        client.config_set("save", "")
        client.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def staffed(server):
    """A worker for each queue and a scheduler, on this host."""
    SimpleWorker(QUEUES, connection=server).register_birth()
    CronScheduler(server).register_birth()
    return server


def make_instance(name: str) -> Instance:
    return Instance(name=name, region="eu-frankfurt", url=f"https://{name}.example")


def use(settings, url: str) -> None:
    settings.RQ_QUEUES = {name: {"URL": url} for name in QUEUES}


def test_a_sound_queue_with_its_workers_is_no_matter(staffed):
    assert found("queue") == {}


@pytest.mark.parametrize(
    ("setting", "value", "expected"), [("maxmemory-policy", "allkeys-lru", "W007"), ("save", "", "W008")]
)
def test_a_server_that_may_lose_jobs(setting, value, expected, staffed):
    staffed.config_set(setting, value)
    assert found("queue").keys() == {expected}


def test_an_append_only_file_keeps_the_jobs(staffed):
    staffed.config_set("save", "")
    staffed.config_set("appendonly", "yes")
    try:
        assert found("queue") == {}
    finally:
        staffed.config_set("appendonly", "no")


def test_a_server_that_refuses_config_is_asked_otherwise(staffed, settings):
    staffed.config_set("maxmemory-policy", "volatile-ttl")
    staffed.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "&*", "+@all", "-config")
    use(settings, f"unix://narrow:secret@{urlsplit(settings.REDIS_URL).path}")
    messages = found("queue")
    assert messages.keys() == {"W007", "W008"}
    assert "volatile-ttl" in messages["W007"].msg
    assert queue_state.inspect().authenticated


@pytest.mark.parametrize("url", ["redis://:sec/ret@queue:1", "redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0?wrong=1"])
def test_a_queue_that_is_away_is_said_once_and_without_password(url, settings):
    use(settings, url)
    messages = found("queue")
    assert messages.keys() == {"E004"}
    assert "sec" not in messages["E004"].msg


def test_a_wrong_password_is_not_shown(valkey, settings):
    use(settings, f"unix://somebody:hidden@{urlsplit(valkey).path}")
    messages = found("queue")
    assert messages.keys() == {"E004"}
    assert "hidden" not in messages["E004"].msg


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"version": (6, 0, 16)}, {"E005"}),
        ({"version": (6, 2)}, set()),
        ({"host": "queue.example"}, {"E006"}),
        ({"host": "queue.example", "authenticated": True}, set()),
        ({"host": "127.0.0.1"}, set()),
    ],
)
def test_servers_that_are_too_old_or_open_to_everybody(told, expected, staffed, monkeypatch):
    """Neither is to be had here: a real server's answer with one thing changed."""
    state = replace(queue_state.inspect(), **told)
    monkeypatch.setattr(queue_state, "inspect", lambda: state)
    assert found("queue").keys() == expected


@pytest.mark.parametrize(("shift", "words"), [(60, "60 s ahead of"), (-60, "60 s behind")])
def test_the_clock_of_the_queue(shift, words, staffed, monkeypatch):
    monkeypatch.setattr("sync.queue_state.time", lambda: time() - shift)
    messages = found("queue")
    assert messages.keys() == {"W006"}
    assert words in messages["W006"].msg


def test_nobody_works(server):
    messages = found("queue")
    assert messages.keys() == {"E009", "E010"}
    assert "No worker is running" in messages["E009"].msg


def test_queues_to_which_nobody_listens(staffed):
    for worker in SimpleWorker.all(connection=staffed):
        worker.register_death()
    SimpleWorker(["default"], connection=staffed).register_birth()
    messages = found("queue")
    assert messages.keys() == {"E009"}
    assert "control, push" in messages["E009"].msg


def test_a_scheduler_that_died_does_not_count(staffed):
    (name,) = staffed.zrange("rq:cron_schedulers", 0, -1)
    staffed.zadd("rq:cron_schedulers", {name: time() - 600})
    assert found("queue").keys() == {"E010"}


@pytest.mark.parametrize("expired", [False, True])
def test_sweeps_that_wait_although_there_are_workers(expired, staffed):
    """A sweep that nobody took in time expires: only its name is left in the queue."""
    sweep = CronJob("control", jobs.sweep, interval=15, ttl=15)
    job = sweep.enqueue(staffed)
    assert found("queue") == {}
    if expired:
        staffed.delete(job.key)
        staffed.zadd(sweep.job_history_key, {job.id: time() - 100})
    else:
        staffed.hset(job.key, "enqueued_at", "2020-01-01T00:00:00.000000Z")
    messages = found("queue")
    assert messages.keys() == {"W009"}
    assert not expired or "100 s" in messages["W009"].msg


def worker_elsewhere(server):
    worker = SimpleWorker(QUEUES, connection=server)
    worker.hostname = f"not-{socket.gethostname()}"
    worker.register_birth()


def test_workers_elsewhere_need_a_database_server(staffed, monkeypatch):
    monkeypatch.setattr(connection, "vendor", "sqlite")
    worker_elsewhere(staffed)
    messages = found("queue")
    assert messages.keys() == {"E007"}
    assert f"not-{socket.gethostname()}" in messages["E007"].msg


def test_workers_elsewhere_need_the_same_keys(staffed, monkeypatch):
    monkeypatch.setattr(connection, "vendor", "postgresql")
    monkeypatch.delenv("CREDENTIAL_KEYS")
    assert found("queue") == {}
    worker_elsewhere(staffed)
    messages = found("queue")
    assert messages.keys() == {"E008"}
    assert "CREDENTIAL_KEYS" in messages["E008"].msg
    assert "SECRET_KEY" not in messages["E008"].msg


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, set()),
        ({"ALLOWED_HOSTS": ["*"]}, {"W003"}),
        ({"WORKER_POOLS": ["eu", "cn-2"]}, set()),
        ({"WORKER_POOLS": ["EU west"]}, {"W011"}),
        ({"ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"]}, {"W004"}),
        ({"CSRF_TRUSTED_ORIGINS": ["https://console.example"]}, {"W005"}),
        ({"HTTPS": True, "CSRF_TRUSTED_ORIGINS": ["http://console.example"]}, {"W005"}),
        ({"HTTPS": True, "CSRF_TRUSTED_ORIGINS": ["https://console.example"]}, set()),
    ],
)
def test_settings(changed, expected, settings):
    for name, value in ({"ALLOWED_HOSTS": ["console.example"]} | changed).items():
        setattr(settings, name, value)
    assert found("security").keys() == expected
    assert found("security", deploy=False) == {}


def test_keys_that_the_installation_made_for_itself(settings, monkeypatch):
    settings.ALLOWED_HOSTS = ["console.example"]
    monkeypatch.setenv("SECRET_KEY", "")
    messages = found("security")
    assert messages.keys() == {"W002"}
    assert "Not set: SECRET_KEY." in messages["W002"].msg


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/db.sqlite3", "nfs4"),
        ("/mnt/two words/db.sqlite3", "sshfs"),
        ("/srv/local/db.sqlite3", ""),
        ("/home/db.sqlite3", ""),
        ("/srvlocal/db.sqlite3", ""),
    ],
)
def test_sqlite_on_a_network_file_system(path, kind, monkeypatch, tmp_path):
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr("sync.checks.MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setitem(connection.settings_dict, "NAME", path)
    messages = found("database", deploy=False)
    assert messages.keys() == ({"W001"} if kind else set())
    assert not kind or f"({kind})" in messages["W001"].msg


@pytest.mark.django_db
def test_a_sound_database_is_no_matter():
    make_instance("guangzhou").save()
    assert found("database") == {}


@pytest.mark.django_db
def test_unapplied_migrations():
    ((_, newest),) = MigrationLoader(connection).graph.leaf_nodes("sync")
    MigrationRecorder(connection).record_unapplied("sync", newest)
    messages = found("database")
    assert messages.keys() == {"E002"}
    assert f"sync.{newest}" in messages["E002"].msg


@pytest.mark.django_db
def test_stored_secrets_without_their_key(settings):
    for name, password, key in (("guangzhou", "", ""), ("berlin", "", "hidden"), ("frankfurt", "hidden", "hidden")):
        instance = make_instance(name)
        instance.password, instance.api_key = password, key
        instance.save()
    rule = SyncRule(name="web", source=instance, target=instance, source_namespace="prod", target_namespace="x")
    rule.webhook_secret = "hidden"
    rule.save()
    assert found("database") == {}
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
    messages = found("database")
    assert messages.keys() == {"E003"}
    assert "berlin, frankfurt, frankfurt/web" in messages["E003"].msg
    assert not {"guangzhou", "hidden"} & set(messages["E003"].msg.split())


@pytest.mark.django_db
def test_the_clock_of_a_database_server(monkeypatch):
    assert found("database") == {}
    monkeypatch.setattr("sync.checks.time", lambda: time() + 60)
    messages = found("database")
    assert messages.keys() == ({"W006"} if connection.vendor == "postgresql" else set())
    assert all("60 s behind" in message.msg for message in messages.values())


def test_the_command(tmp_path):
    """Quiet by itself; with --deploy everything that is away is named, without any traceback."""
    away = {"DATABASE_URL": "postgres://console:hidden@127.0.0.1:1/console", "REDIS_URL": "redis://:hidden@127.0.0.1:1"}
    fresh = {"DATA_DIR": str(tmp_path), "SECRET_KEY": "", "CREDENTIAL_KEYS": ""}
    environment = os.environ | fresh | away

    def manage(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)

    quiet, full = manage("check"), manage("check", "--deploy")
    assert (quiet.returncode, quiet.stdout.strip()) == (0, "System check identified no issues (0 silenced).")
    assert full.returncode == 1
    assert "tcrconsole.E001" in full.stderr
    assert "tcrconsole.E004" in full.stderr
    assert "Traceback" not in full.stderr
    assert "hidden" not in full.stderr


@pytest.mark.django_db
def test_pools_that_nobody_serves(staffed):
    make_instance("frankfurt").save()
    Instance.objects.update(pool="eu")
    messages = found("database")
    assert messages.keys() == {"E011"}
    assert "WORKER_POOLS=eu " in str(messages["E011"].hint)
    SimpleWorker(["push:eu", "default:eu"], connection=staffed).register_birth()
    assert found("database") == {}
